//! `PUT /_matrix/client/*/rooms/{roomId}/thread/{eventId}/subscription`

use std::sync::Arc;

use ruma::api::{
    client::threads::subscribe_thread::unstable::{Request, Response},
    error::ErrorCode,
};

use crate::{
    client::reader_of_history,
    edge::{App, Failure, Session},
};

/// Subscribes the caller to a thread.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let reader = reader_of_history(&app, &caller, &request.room_id).await?;
    let thread = (&*request.room_id, &*request.thread_root);
    let is_done = app
        .house
        .subscribe_thread(reader, thread, request.automatic)
        .await?;
    if is_done {
        Ok(Response::new())
    } else {
        Err(Failure::new(
            ErrorCode::NotInThread,
            "the event is not in the thread",
        ))
    }
}
