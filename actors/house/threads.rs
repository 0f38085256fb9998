//! Thread subscriptions (MSC4306): the room knows the thread, the user keeps what it wants of it.

use playhouse_schema::address::Sequence;
use ruma::{EventId, OwnedEventId, RoomId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    room::{
        RoomAnswer, RoomQuery,
        message::{Reader, ThreadPlace},
    },
    user::{
        UserAnswer, UserCommand, UserQuery,
        message::{SetThreadSubscription, ThreadsPage},
        sliding::{Pos, subscribe_thread::ThreadWish, threads::ThreadChanges},
    },
};

/// A page of changes of thread subscriptions.
#[derive(Clone, Debug)]
pub struct ThreadsWish {
    /// Before the place that an earlier page or a sliding sync named; `None` begins at the end.
    pub from: Option<String>,
    /// After this `pos` of a sliding sync.
    pub to: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl House {
    /// Subscribes to a thread; by itself a client does so because of an event. `false` when that event is not in the thread.
    pub async fn subscribe_thread(
        &self,
        reader: Reader,
        (room_id, root): (&RoomId, &EventId),
        cause: Option<OwnedEventId>,
    ) -> Result<bool, HouseError> {
        let is_automatic = cause.is_some();
        let user_id = reader.user_id.clone();
        let place = self.thread_place(reader, (room_id, root), cause).await?;
        let wish = match place.cause {
            Some(cause) => ThreadWish::SubscribeBecause(cause),
            None if is_automatic => return Ok(false),
            None => ThreadWish::Subscribe,
        };
        self.set_thread(&user_id, (room_id, root), wish).await?;
        Ok(true)
    }

    /// Unsubscribes from a thread.
    pub async fn unsubscribe_thread(
        &self,
        reader: Reader,
        (room_id, root): (&RoomId, &EventId),
    ) -> Result<(), HouseError> {
        let user_id = reader.user_id.clone();
        let place = self.thread_place(reader, (room_id, root), None).await?;
        let wish = ThreadWish::Unsubscribe(place.newest);
        self.set_thread(&user_id, (room_id, root), wish).await
    }

    /// Changes of thread subscriptions, the newest first; `None` when a token is none.
    pub async fn thread_changes(
        &self,
        user_id: &UserId,
        wish: ThreadsWish,
    ) -> Result<Option<ThreadChanges>, HouseError> {
        let layout = self.store.layout();
        let after = match wish.to.as_deref() {
            Some(word) => match Pos::parse(word, layout) {
                Some(pos) => pos.threads,
                None => return Ok(None),
            },
            None => 0,
        };
        let before = match wish.from.as_deref() {
            Some(word) => match word.strip_prefix('h').and_then(|word| word.parse().ok()) {
                Some(before) => before,
                None => return Ok(None),
            },
            None => Sequence::MAX,
        };
        let page = ThreadsPage {
            after,
            before,
            limit: wish.limit,
        };
        match self
            .user_query(user_id, UserQuery::ThreadChanges(page))
            .await?
        {
            UserAnswer::ThreadChanges(changes) => Ok(Some(changes)),
            _ => Err(surprise("ThreadChanges")),
        }
    }

    async fn thread_place(
        &self,
        reader: Reader,
        (room_id, root): (&RoomId, &EventId),
        cause: Option<OwnedEventId>,
    ) -> Result<ThreadPlace, HouseError> {
        let query = RoomQuery::ThreadPlace {
            reader,
            root: root.to_owned(),
            cause,
        };
        match self.room_query(room_id, query).await? {
            RoomAnswer::ThreadPlace(place) => Ok(place),
            _ => Err(surprise("ThreadPlace")),
        }
    }

    async fn set_thread(
        &self,
        user_id: &UserId,
        (room_id, root): (&RoomId, &EventId),
        wish: ThreadWish,
    ) -> Result<(), HouseError> {
        let set = SetThreadSubscription {
            room_id: room_id.to_owned(),
            root: root.to_owned(),
            wish,
        };
        let command = UserCommand::SetThreadSubscription(Box::new(set));
        self.user_command(user_id, command).await?;
        Ok(())
    }
}
