//! `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}/actions`

use std::sync::Arc;

use ruma::api::client::push::get_pushrule_actions::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells what a rule does.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let rule = super::rule(&app, &caller, request.kind, &request.rule_id).await?;
    Ok(Response::new(rule.actions))
}
