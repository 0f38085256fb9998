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
use tokio::sync::Notify;

use super::board::{FeedBoard, Hearsay};
use crate::{
    cluster::{Courier, Hears},
    followers::task::Running,
    kernel::parcel,
    room::context::TypingListener,
    user::message::Presence,
};

/// Who types in a room.
const TYPING: &str = "typing";

/// Whose presence has changed.
const PRESENCE: &str = "presence";

/// Presences that change gather for so long: of each user only the newest is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// So many presences wait to be told; those of others are lost.
const WAITING_MAX: usize = 20_000;

/// So many presences are told by one word.
const PRESENCES_EACH: usize = 100;

/// What another node has said of typing ends after so long, whatever became of it.
const TYPING_MAX: Duration = Duration::from_secs(10 * 60);

/// Of so many users it is kept in mind that another node has told of them.
const OVERHEARD_MAX: usize = 50_000;

/// A presence, and the rooms whose members it concerns.
type Changed = (Arc<Presence>, Vec<OwnedRoomId>);

/// What is said to other nodes.
struct Voices {
    courier: Arc<Courier>,
    /// Of whom it is not told yet.
    presences: Mutex<BTreeMap<OwnedUserId, Changed>>,
    bell: Notify,
}

/// What says to other nodes what is volatile here, as long as the task runs.
pub fn voices(courier: &Arc<Courier>) -> (Arc<dyn Hearsay>, Running) {
    let voices = Arc::new(Voices::new(courier.clone()));
    let speaking = voices.clone();
    let speaking = Running::start(|mut stop| {
        Box::pin(async move {
            loop {
                tokio::select! {
                    biased;
                    () = stop.told() => return,
                    () = speaking.bell.notified() => {}
                }
                speaking.tell_presences();
                stop.pause(TELL_EVERY).await;
            }
        })
    });
    (voices, speaking)
}

impl Voices {
    fn new(courier: Arc<Courier>) -> Self {
        Self {
            courier,
            presences: Mutex::default(),
            bell: Notify::new(),
        }
    }

    fn tell_presences(&self) {
        let changed = std::mem::take(&mut *self.presences.lock());
        let changed: Vec<_> = changed.iter().collect();
        for some in changed.chunks(PRESENCES_EACH) {
            let some = some.iter();
            let some = some.map(|(user_id, (presence, rooms))| (user_id, &**presence, rooms));
            self.courier.say(PRESENCE, &some.collect::<Vec<_>>());
        }
    }
}

impl TypingListener for Voices {
    fn typing_changed(&self, room_id: &OwnedRoomId, users: Vec<OwnedUserId>) {
        self.courier.say(TYPING, &(room_id, users));
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
        let mut waiting = self.presences.lock();
        if waiting.len() < WAITING_MAX || waiting.contains_key(user_id) {
            waiting.insert(user_id.to_owned(), (presence.clone(), rooms.to_vec()));
        }
        drop(waiting);
        self.bell.notify_one();
    }
}

/// What listens to the voices of other nodes.
pub fn ears(board: &Arc<FeedBoard>) -> [(&'static str, Arc<dyn Hears>); 2] {
    let ear = Arc::new(BoardEar(board.clone()));
    [(TYPING, ear.clone()), (PRESENCE, ear)]
}

/// Whose presence has changed, to what, and who hears of it.
type Told = (OwnedUserId, Presence, Vec<OwnedRoomId>);

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
            for (user_id, presence, rooms) in parcel::unpack::<Vec<Told>>(body)? {
                self.0.presence_heard(&user_id, Arc::new(presence), &rooms);
            }
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
    use ruma::presence::PresenceState;

    use super::*;
    use crate::{
        cluster::{Gate, Map, Wire as _, tests::net::Net},
        kernel::memory::MemoryStore,
        writers::Tail,
    };

    /// Notes the words of which presences are told.
    #[derive(Default)]
    struct Words(Mutex<Vec<Vec<Told>>>);

    impl Hears for Words {
        fn hear(&self, _from: &NodeName, _topic: &str, body: &[u8]) {
            let word = parcel::unpack(body).expect("a word");
            self.0.lock().push(word);
        }
    }

    #[test]
    fn of_each_user_the_newest_presence_is_told() {
        let (one, two) = (NodeName::parse("one"), NodeName::parse("two"));
        let (one, two) = (one.expect("a name"), two.expect("a name"));
        let net = Arc::<Net>::default();
        let (near, far) = (net.attach(&one), net.attach(&two));
        let tail = Arc::new(Tail::new(MemoryStore::with(2, 1)));
        let gate = Gate::new([], Arc::new(Map::new(two)), tail, Arc::default());
        let words = Arc::<Words>::default();
        far.open(Arc::new(
            gate.heard_by([(PRESENCE, words.clone() as Arc<dyn Hears>)]),
        ));
        let voices = Voices::new(Arc::new(Courier(near)));
        let user = |number: usize| {
            let name = format!("@u{number:03}:example.org");
            OwnedUserId::try_from(name).expect("a user")
        };
        let rooms = [OwnedRoomId::try_from("!a:example.org").expect("a room")];
        for active_ms in 0..5 {
            for number in 0..=PRESENCES_EACH {
                let presence = Presence {
                    presence: PresenceState::Online,
                    status_msg: None,
                    active_ms,
                    currently_active: false,
                };
                let presence = Arc::new(presence);
                voices.presence_changed(&user(number), &presence, &rooms, &BTreeSet::new());
            }
        }
        voices.tell_presences();
        voices.tell_presences();
        let words = words.0.lock();
        let sizes: Vec<_> = words.iter().map(Vec::len).collect();
        assert_eq!(sizes, [PRESENCES_EACH, 1]);
        for (number, (user_id, presence, told)) in words.iter().flatten().enumerate() {
            assert_eq!((user_id, presence.active_ms), (&user(number), 4));
            assert_eq!(*told, rooms);
        }
    }

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
