//! `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}/enabled`

use std::sync::Arc;

use ruma::api::client::push::get_pushrule_enabled::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells whether a rule is on.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let rule = super::rule(&app, &caller, request.kind, &request.rule_id).await?;
    Ok(Response::new(rule.enabled))
}
