//! `GET /_matrix/client/*/pushrules/global/{kind}/{ruleId}`

use std::sync::Arc;

use ruma::api::client::push::get_pushrule::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells a rule.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let rule = super::rule(&app, &caller, request.kind, &request.rule_id).await?;
    Ok(Response::new(rule))
}
