//! `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}/enabled`

use std::sync::Arc;

use playhouse_actors::user::PushRuleChange;
use ruma::api::client::push::set_pushrule_enabled::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Switches a rule on or off.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let change = PushRuleChange::Enable {
        kind: request.kind,
        rule_id: request.rule_id,
        enabled: request.enabled,
    };
    super::change(&app, &caller, change).await?;
    Ok(Response::new())
}
