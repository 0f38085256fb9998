//! `POST /_matrix/client/*/users/{userId}/report`

use std::sync::Arc;

use ruma::api::client::reporting::report_user::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells the administrators of a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    app.house
        .report_user(&caller.user_id, &request.user_id, request.reason)
        .await?;
    Ok(Response::new())
}
