//! `GET /_matrix/client/*/joined_rooms`

use std::sync::Arc;

use ruma::api::client::membership::joined_rooms::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists the rooms that the caller is in.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    let joined = app.house.joined_rooms(&caller.user_id).await?;
    Ok(Response::new(joined))
}
