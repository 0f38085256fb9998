//! `POST /_matrix/client/*/rooms/{roomId}/report/{eventId}`

use std::sync::Arc;

use ruma::api::client::room::report_content::v3::{Request, Response};

use crate::{
    client::reader,
    edge::{App, Failure, Session},
};

/// Tells the administrators of an event.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    app.house
        .report_event(
            reader(&caller),
            (&request.room_id, &request.event_id),
            request.reason,
        )
        .await?;
    Ok(Response::new())
}
