//! `GET /_matrix/client/*/admin/suspend/{userId}`

use std::sync::Arc;

use ruma::api::client::admin::is_user_suspended::v1::{Request, Response};

use super::account;
use crate::edge::{App, Failure, Session};

/// Tells an administrator whether an account is suspended.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let account = account(&app, &caller, &request.user_id).await?;
    Ok(Response::new(account.suspended))
}
