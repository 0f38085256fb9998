//! `DELETE /_matrix/client/*/rooms/{roomId}/thread/{eventId}/subscription`

use std::sync::Arc;

use ruma::api::client::threads::unsubscribe_thread::unstable::{Request, Response};

use crate::{
    client::reader_of_history,
    edge::{App, Failure, Session},
};

/// Unsubscribes the caller from a thread.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let reader = reader_of_history(&app, &caller, &request.room_id).await?;
    let thread = (&*request.room_id, &*request.thread_root);
    app.house.unsubscribe_thread(reader, thread).await?;
    Ok(Response::new())
}
