//! `GET /_matrix/client/*/pushrules/global/`

use std::sync::Arc;

use ruma::api::client::push::get_pushrules_global_scope::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists the caller's global push rules.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(super::rules(&app, &caller).await?))
}
