//! `GET /_matrix/client/*/pushrules/`

use std::sync::Arc;

use ruma::api::client::push::get_pushrules_all::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists all push rules of the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(super::rules(&app, &caller).await?))
}
