//! Subscribe to a thread, or unsubscribe (MSC4306).
//!
//! A client that subscribes by itself, since the user was mentioned or has written, names the event that is the cause. It does not undo what the user has
//! said since: who unsubscribed after that event stays unsubscribed.

use playhouse_schema::{
    address::Sequence,
    record::user::{ThreadSubscriptionSet, UserRecord},
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use crate::{
    kernel::Decision,
    user::{
        UserError,
        message::{UserAnswer, UserReply},
        state::User,
    },
};

/// So many threads something may be said of.
const THREADS_MAX: usize = 50_000;

/// A thread that is to be subscribed to or unsubscribed from. The caller has made sure that the user may see it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SetThreadSubscription {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The root of the thread.
    pub root: OwnedEventId,
    /// What is wanted.
    pub wish: ThreadWish,
}

/// What is wanted of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ThreadWish {
    /// The user subscribes.
    Subscribe,
    /// A client subscribes by itself because of an event with this number among the room's records. Refused with `Unsubscribed` when the user
    /// unsubscribed after it.
    SubscribeBecause(Sequence),
    /// The user unsubscribes, when this was the newest of the room's records.
    Unsubscribe(Sequence),
}

/// A page of changes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ThreadsPage {
    /// By records of the user after this one.
    pub after: Sequence,
    /// By records before this one.
    pub before: Sequence,
    /// At most so many.
    pub limit: usize,
}

pub(in crate::user) fn decide(
    user: &User,
    set: SetThreadSubscription,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let known = user.threads.get(&set.room_id, &set.root);
    let now = known.and_then(|known| known.automatic);
    let (subscription, until) = match set.wish {
        ThreadWish::Subscribe => (Some(false), 0),
        ThreadWish::SubscribeBecause(cause) => {
            if known.is_some_and(|known| known.automatic.is_none() && known.until >= cause) {
                return Err(UserError::Unsubscribed);
            }
            // What the user has done by hand is not made automatic.
            (Some(now.unwrap_or(true)), 0)
        }
        ThreadWish::Unsubscribe(until) => (None, until),
    };
    if now == subscription && (known.is_some() || subscription.is_none()) {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    if known.is_none() && user.threads.len() >= THREADS_MAX {
        return Err(UserError::TooLarge("too many thread subscriptions".into()));
    }
    let record = ThreadSubscriptionSet {
        room_id: set.room_id.to_string(),
        root: set.root.to_string(),
        subscription,
        until,
    };
    let records = vec![UserRecord::ThreadSubscriptionSet(record)];
    Ok(Decision::new(records, UserReply::Done))
}

/// Answers whether a thread was subscribed to by a client.
pub(in crate::user) fn tell(
    user: &User,
    room_id: &RoomId,
    root: &EventId,
) -> Result<UserAnswer, UserError> {
    let known = user.threads.get(room_id, root);
    let automatic = known.and_then(|known| known.automatic);
    let automatic = automatic.ok_or(UserError::NotFound)?;
    Ok(UserAnswer::ThreadSubscription { automatic })
}

/// Answers a page of changes.
pub(in crate::user) fn tell_changes(user: &User, page: ThreadsPage) -> UserAnswer {
    let span = (page.after, page.before.min(user.sequence.saturating_add(1)));
    UserAnswer::ThreadChanges(user.threads.changes(span, page.limit))
}
