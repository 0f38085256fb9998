//! `GET /_matrix/client/*/thread_subscriptions`

use std::sync::Arc;

use playhouse_actors::house::ThreadsWish;
use ruma::api::client::threads::get_thread_subscriptions_changes::unstable::{
    Request, Response, ThreadSubscription, ThreadUnsubscription,
};

use crate::edge::{App, Failure, Session};

/// The most changes on a page, and as many when the client does not say.
const LIMIT_MAX: u64 = 100;

/// Lists changes of thread subscriptions, the newest first.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let limit = request.limit.map_or(LIMIT_MAX, u64::from);
    if limit == 0 {
        return Err(Failure::invalid_param("limit must be greater than zero"));
    }
    let wish = ThreadsWish {
        from: request.from,
        to: request.to,
        limit: limit.min(LIMIT_MAX) as usize,
    };
    let changes = app.house.thread_changes(&caller.user_id, wish).await?;
    let changes = changes.ok_or_else(|| Failure::invalid_param("from, to: unknown token"))?;
    let mut response = Response::new();
    response.end = changes.more_before.map(|before| format!("h{before}"));
    for ((room_id, root), it) in changes.changes {
        let bump_stamp = ruma::UInt::new_saturating(it.changed);
        match it.automatic {
            Some(automatic) => {
                let threads = response.subscribed.entry(room_id).or_default();
                threads.insert(root, ThreadSubscription::new(automatic, bump_stamp));
            }
            None => {
                let threads = response.unsubscribed.entry(room_id).or_default();
                threads.insert(root, ThreadUnsubscription::new(bump_stamp));
            }
        }
    }
    Ok(response)
}
