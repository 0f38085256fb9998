//! `POST /_matrix/client/*/rooms/{roomId}/read_markers`

use std::sync::Arc;

use playhouse_actors::house::ReadMarkers;
use ruma::api::client::read_marker::set_read_marker::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Moves the marker up to which everything is read, and receipts with it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let markers = ReadMarkers {
        user_id: caller.known.user_id,
        room_id: request.room_id,
        fully_read: request.fully_read,
        read: request.read_receipt,
        read_private: request.private_read_receipt,
    };
    app.house.set_read_markers(markers).await?;
    Ok(Response::new())
}
