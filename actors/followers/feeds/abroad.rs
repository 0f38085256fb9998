//! What is volatile and said on one node, for the users of the others: who types, who is present.
//!
//! Nothing of it is repeated when it is lost. What a node has said ends with the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use parking_lot::Mutex;
use playhouse_schema::register::NodeName;
use ruma::{OwnedRoomId, OwnedUserId, UserId};

use super::board::{FeedBoard, Hearsay};
use crate::{
    cluster::{Courier, Hears},
    kernel::parcel,
    room::context::TypingListener,
    user::message::Presence,
};

/// Who types in a room.
const TYPING: &str = "typing";

/// Whose presence has changed.
const PRESENCE: &str = "presence";

/// What another node has said of typing ends after so long, whatever became of it.
const TYPING_MAX: Duration = Duration::from_secs(10 * 60);

/// Of so many users it is kept in mind that another node has told of them.
const OVERHEARD_MAX: usize = 50_000;

/// What is said to other nodes.
struct Voices(Arc<Courier>);

/// What says to other nodes what is volatile here.
pub fn voices(courier: &Arc<Courier>) -> Arc<dyn Hearsay> {
    Arc::new(Voices(courier.clone()))
}

impl TypingListener for Voices {
    fn typing_changed(&self, room_id: &OwnedRoomId, users: Vec<OwnedUserId>) {
        self.0.say(TYPING, &(room_id, users));
    }
}

impl Hearsay for Voices {
    fn presence_changed(
        &self,
        user_id: &OwnedUserId,
        presence: &Arc<Presence>,
        rooms: &[OwnedRoomId],
        _observers: &BTreeSet<OwnedUserId>,
    ) {
        self.0.say(PRESENCE, &(user_id, &**presence, rooms));
    }
}

/// What listens to the voices of other nodes.
pub fn ears(board: &Arc<FeedBoard>) -> [(&'static str, Arc<dyn Hears>); 2] {
    let ear = Arc::new(BoardEar(board.clone()));
    [(TYPING, ear.clone()), (PRESENCE, ear)]
}

struct BoardEar(Arc<FeedBoard>);

impl BoardEar {
    fn take_in(
        &self,
        from: &NodeName,
        topic: &str,
        body: &[u8],
    ) -> Result<(), parcel::ParcelError> {
        if topic == TYPING {
            let (room_id, users): (OwnedRoomId, Vec<OwnedUserId>) = parcel::unpack(body)?;
            self.0.typing_heard(from, &room_id, users);
        } else {
            let heard = parcel::unpack::<(OwnedUserId, Presence, Vec<OwnedRoomId>)>(body)?;
            let (user_id, presence, rooms) = heard;
            self.0.presence_heard(&user_id, Arc::new(presence), &rooms);
        }
        Ok(())
    }
}

impl Hears for BoardEar {
    fn hear(&self, from: &NodeName, topic: &str, body: &[u8]) {
        if let Err(error) = self.take_in(from, topic, body) {
            tracing::error!(%from, topic, %error, "what another node says cannot be read");
        }
    }
}

/// Whose presence other nodes have told of, and when, until somebody takes it out.
#[derive(Default)]
pub(super) struct Overheard(Mutex<BTreeMap<OwnedUserId, Instant>>);

impl Overheard {
    /// Another node has told of a user.
    pub(super) fn note(&self, user_id: &UserId) {
        let mut heard = self.0.lock();
        if heard.len() < OVERHEARD_MAX {
            heard.insert(user_id.to_owned(), Instant::now());
        }
    }

    /// Takes out all, each with the time since.
    pub(super) fn take(&self) -> Vec<(OwnedUserId, Duration)> {
        let heard = std::mem::take(&mut *self.0.lock()).into_iter();
        heard.map(|(user_id, at)| (user_id, at.elapsed())).collect()
    }
}

/// Which node has said that somebody types in a room, and when.
#[derive(Default)]
pub(super) struct Origins(DashMap<OwnedRoomId, (NodeName, Instant)>);

impl Origins {
    /// A node says something of a room. Whether that counts: that nobody types any more must be said by whoever has said that somebody does.
    pub(super) fn take(&self, from: &NodeName, room_id: &OwnedRoomId, somebody: bool) -> bool {
        if somebody {
            let said = (from.clone(), Instant::now());
            self.0.insert(room_id.clone(), said);
            return true;
        }
        let own = self.0.remove_if(room_id, |_, (node, _)| node == from);
        own.is_some()
    }

    /// This node has something to say of a room.
    pub(super) fn forget(&self, room_id: &OwnedRoomId) {
        self.0.remove(room_id);
    }

    /// Whether another node has said it.
    pub(super) fn knows(&self, room_id: &OwnedRoomId) -> bool {
        self.0.contains_key(room_id)
    }

    /// Takes out the rooms of which nodes have spoken that live no more, or too long ago.
    pub(super) fn gone(&self, living: &BTreeSet<&NodeName>) -> Vec<OwnedRoomId> {
        let mut gone = Vec::new();
        self.0.retain(|room_id, (node, at)| {
            let stays = living.contains(node) && at.elapsed() < TYPING_MAX;
            if !stays {
                gone.push(room_id.clone());
            }
            stays
        });
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_falls_silent_by_who_has_spoken_of_it() {
        let (one, two) = (NodeName::parse("one"), NodeName::parse("two"));
        let (one, two) = (one.expect("a name"), two.expect("a name"));
        let room_id = OwnedRoomId::try_from("!a:example.org").expect("a room");
        let origins = Origins::default();
        assert!(!origins.take(&one, &room_id, false));
        assert!(origins.take(&one, &room_id, true));
        assert!(origins.take(&two, &room_id, true));
        // The room has moved from one to two; the last word of one comes late.
        assert!(!origins.take(&one, &room_id, false));
        assert!(origins.knows(&room_id));
        assert!(origins.gone(&BTreeSet::from([&two])).is_empty());
        assert_eq!(
            origins.gone(&BTreeSet::from([&one])),
            std::slice::from_ref(&room_id)
        );
        assert!(!origins.knows(&room_id));
    }
}
