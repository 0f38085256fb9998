//! `DELETE /_matrix/client/*/pushrules/global/{kind}/{ruleId}`

use std::sync::Arc;

use playhouse_actors::user::PushRuleChange;
use ruma::api::client::push::delete_pushrule::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Removes a rule of the caller's own.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let change = PushRuleChange::Remove {
        kind: request.kind,
        rule_id: request.rule_id,
    };
    super::change(&app, &caller, change).await?;
    Ok(Response::new())
}
