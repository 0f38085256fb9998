//! `GET /_matrix/client/*/rooms/{roomId}/thread/{eventId}/subscription`

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::api::client::threads::get_thread_subscription::unstable::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Tells whether the caller is subscribed to a thread.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let query = UserQuery::ThreadSubscription(request.room_id, request.thread_root);
    match app.house.user_query(&caller.user_id, query).await? {
        UserAnswer::ThreadSubscription { automatic } => Ok(Response::new(automatic)),
        _ => Err(Failure::internal("unexpected answer to ThreadSubscription")),
    }
}
