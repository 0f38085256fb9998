//! `PUT /_matrix/client/*/pushrules/global/{kind}/{ruleId}/actions`

use std::sync::Arc;

use playhouse_actors::user::PushRuleChange;
use ruma::api::client::push::set_pushrule_actions::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Says what a rule does.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let change = PushRuleChange::Act {
        kind: request.kind,
        rule_id: request.rule_id,
        actions: request.actions,
    };
    super::change(&app, &caller, change).await?;
    Ok(Response::new())
}
