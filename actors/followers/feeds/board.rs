//! The board: which awake users follow which rooms, and how far each shard was announced.
//!
//! Announcing a record to a thousand followers costs a thousand casts and nothing else: each follower's ear is kept with the room. Sleeping users
//! cost nothing. All of a shard is announced under its lock and by one task, so a user that begins to follow between two records hears exactly
//! the later one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family, Layout, Position, Shard, ShardNumber},
    register::{NodeEntry, NodeName},
};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState,
    presence::PresenceState,
};

use super::abroad::{Origins, Overheard};
use crate::{
    room::context::TypingListener,
    user::{
        UserSignal,
        feed::surroundings::{Board, Current, Ear, Seat},
        message::{NewsKind, Presence, RoomNews},
        sync::token::Vector,
    },
};

/// Of so many users the presence is kept; of further ones it is only passed on.
const PRESENCES_MAX: usize = 200_000;

/// See the module's documentation.
pub struct FeedBoard {
    layout: Layout,
    shards: Vec<Mutex<ShardRooms>>,
    awake: DashMap<OwnedUserId, Arc<Awake>>,
    /// Device list changes of the users family are announced up to here.
    devices: Vec<AtomicU64>,
    typing: DashMap<OwnedRoomId, Arc<Vec<OwnedUserId>>>,
    presence: DashMap<OwnedUserId, Arc<Presence>>,
    observers: BTreeSet<OwnedUserId>,
    seats: AtomicU64,
    relay: OnceLock<Arc<dyn Hearsay>>,
    abroad: OnceLock<Arc<dyn Hearsay>>,
    /// What of `typing` is from other nodes.
    origins: Origins,
    overheard: Overheard,
}

/// Hears what is volatile and may concern others than the users here.
pub trait Hearsay: TypingListener {
    /// The presence of a local user changed, for those in these rooms and for these users.
    fn presence_changed(
        &self,
        user_id: &OwnedUserId,
        presence: &Arc<Presence>,
        rooms: &[OwnedRoomId],
        observers: &BTreeSet<OwnedUserId>,
    );
}

/// The followed rooms of one shard.
#[derive(Default)]
struct ShardRooms {
    announced: Position,
    followers: HashMap<OwnedRoomId, Vec<Arc<Awake>>>,
}

/// A user that hears.
struct Awake {
    seat: u64,
    user_id: OwnedUserId,
    ear: Arc<dyn Ear>,
    rooms: Mutex<HashSet<OwnedRoomId>>,
    is_gone: AtomicBool,
}

impl Awake {
    fn hear(&self, signal: UserSignal) -> bool {
        !self.is_gone.load(Ordering::Acquire) && self.ear.hear(signal)
    }
}

impl ShardRooms {
    fn add(&mut self, room_id: &RoomId, awake: &Arc<Awake>) {
        if awake.rooms.lock().insert(room_id.to_owned()) {
            let followers = self.followers.entry(room_id.to_owned()).or_default();
            followers.push(awake.clone());
        }
    }

    fn remove(&mut self, room_id: &RoomId, awake: &Awake) {
        if !awake.rooms.lock().remove(room_id) {
            return;
        }
        if let Some(followers) = self.followers.get_mut(room_id) {
            followers.retain(|follower| follower.seat != awake.seat);
            if followers.is_empty() {
                self.followers.remove(room_id);
            }
        }
    }

    /// Lets all followers of a room hear; who does not hear any more is dropped.
    fn tell(&mut self, room_id: &RoomId, signal: impl Fn() -> UserSignal) {
        let Some(followers) = self.followers.get_mut(room_id) else {
            return;
        };
        followers.retain(|follower| follower.hear(signal()));
        if followers.is_empty() {
            self.followers.remove(room_id);
        }
    }
}

impl FeedBoard {
    /// A board on which everything up to these positions counts as announced.
    pub fn new(
        layout: Layout,
        (rooms, devices): (&Vector, &Vector),
        observers: &BTreeSet<OwnedUserId>,
    ) -> Arc<Self> {
        let at = |vector: &Vector, shard: ShardNumber| vector.get(&shard).copied().unwrap_or(0);
        let shard = |number| {
            Mutex::new(ShardRooms {
                announced: at(rooms, number),
                followers: HashMap::new(),
            })
        };
        Arc::new(Self {
            layout,
            shards: (0..layout.shards).map(shard).collect(),
            awake: DashMap::new(),
            devices: (0..layout.shards)
                .map(|number| AtomicU64::new(at(devices, number)))
                .collect(),
            typing: DashMap::new(),
            presence: DashMap::new(),
            observers: observers.clone(),
            seats: AtomicU64::new(1),
            relay: OnceLock::new(),
            abroad: OnceLock::new(),
            origins: Origins::default(),
            overheard: Overheard::default(),
        })
    }

    /// Passes on from now on what is volatile.
    pub fn relay_to(&self, relay: Arc<dyn Hearsay>) {
        let _ = self.relay.set(relay);
    }

    /// Says from now on to other nodes what is volatile here.
    pub fn tell_abroad(&self, abroad: Arc<dyn Hearsay>) {
        let _ = self.abroad.set(abroad);
    }

    /// Another node says who types in a room.
    pub(super) fn typing_heard(
        &self,
        from: &NodeName,
        room_id: &OwnedRoomId,
        users: Vec<OwnedUserId>,
    ) {
        if self.origins.take(from, room_id, !users.is_empty()) {
            self.show_typing(room_id, users);
        }
    }

    /// Another node says how a user is.
    pub(super) fn presence_heard(
        &self,
        user_id: &UserId,
        presence: Arc<Presence>,
        rooms: &[OwnedRoomId],
    ) {
        self.overheard.note(user_id);
        self.show_presence(user_id, presence, rooms);
    }

    /// Whose presence other nodes have told of since this was asked last, each with the time since.
    pub(crate) fn take_overheard(&self) -> Vec<(OwnedUserId, Duration)> {
        self.overheard.take()
    }

    /// A shard of rooms has left this node: whoever has it knows nobody yet who types.
    pub fn hush(&self, shard: Shard) {
        let of_shard = |room_id: &OwnedRoomId| {
            let entity = Entity::room(room_id.as_str());
            self.layout.shard_of(&entity) == shard && !self.origins.knows(room_id)
        };
        let rooms = self.typing.iter().map(|typing| typing.key().clone());
        let rooms: Vec<_> = rooms.filter(of_shard).collect();
        for room_id in rooms {
            self.typing_changed(&room_id, Vec::new());
        }
    }

    /// What was said by nodes that do not live any more is void.
    pub fn forget_the_dead(&self, nodes: &[NodeEntry]) {
        let living = nodes.iter().filter(|node| node.is_alive());
        let living = living.map(|node| &node.name).collect();
        for room_id in self.origins.gone(&living) {
            self.show_typing(&room_id, Vec::new());
        }
    }

    /// The users that are not offline.
    pub(crate) fn present(&self) -> Vec<OwnedUserId> {
        let known = self.presence.iter();
        let present = known.filter(|known| known.presence != PresenceState::Offline);
        present.map(|known| known.key().clone()).collect()
    }

    fn show_typing(&self, room_id: &OwnedRoomId, users: Vec<OwnedUserId>) {
        if let Some(relay) = self.relay.get() {
            relay.typing_changed(room_id, users.clone());
        }
        let Some(shard) = self.shard_of(room_id) else {
            return;
        };
        let mut shard = shard.lock();
        let users = Arc::new(users);
        if users.is_empty() {
            self.typing.remove(room_id);
        } else {
            self.typing.insert(room_id.clone(), users.clone());
        }
        shard.tell(room_id, || UserSignal::Typing {
            room_id: room_id.clone(),
            users: users.clone(),
        });
    }

    fn show_presence(&self, user_id: &UserId, presence: Arc<Presence>, rooms: &[OwnedRoomId]) {
        if self.presence.contains_key(user_id) || self.presence.len() < PRESENCES_MAX {
            self.presence.insert(user_id.to_owned(), presence.clone());
        }
        if let Some(relay) = self.relay.get() {
            relay.presence_changed(&user_id.to_owned(), &presence, rooms, &self.observers);
        }
        let mut audience = self.followers_of(rooms);
        for observer in &self.observers {
            if let Some(awake) = self.awake.get(observer) {
                audience.insert(awake.seat, awake.clone());
            }
        }
        for awake in audience.values() {
            if awake.user_id != user_id {
                awake.hear(UserSignal::Presence {
                    user_id: user_id.to_owned(),
                    presence: presence.clone(),
                });
            }
        }
    }

    /// Whether anybody follows a room.
    pub(super) fn is_followed(&self, shard: ShardNumber, room_id: &RoomId) -> bool {
        self.shard(shard)
            .is_some_and(|shard| shard.lock().followers.contains_key(room_id))
    }

    /// Announces news to whom they concern.
    pub(super) fn announce(&self, news: &Arc<RoomNews>) {
        let Some(shard) = self.shard(news.shard.number) else {
            return;
        };
        let mut shard = shard.lock();
        let room_id = &news.room_id;
        shard.tell(room_id, || UserSignal::Room(news.clone()));
        if let NewsKind::Event {
            membership: Some((target, membership)),
            ..
        } = &news.kind
            && let Some(awake) = self.awake.get(target).map(|awake| awake.clone())
        {
            let follows = awake.rooms.lock().contains(room_id);
            if !follows {
                awake.hear(UserSignal::Room(news.clone()));
            }
            if *membership == MembershipState::Join {
                shard.add(room_id, &awake);
            } else {
                shard.remove(room_id, &awake);
            }
        }
    }

    /// Everything up to a position of a room shard is announced.
    pub(super) fn announced(&self, shard: Shard, position: Position) {
        if let Some(shard) = self.shard(shard.number) {
            shard.lock().announced = position;
        }
    }

    /// Announces a change of a user's devices to the followers of these rooms, and to the user; to all that are awake when the rooms are not known.
    pub(super) fn announce_devices(
        &self,
        user_id: &UserId,
        (shard, position): (Shard, Position),
        rooms: Option<&[OwnedRoomId]>,
    ) {
        let mut audience: BTreeMap<u64, Arc<Awake>> = match rooms {
            Some(rooms) => self.followers_of(rooms),
            None => self
                .awake
                .iter()
                .map(|awake| (awake.seat, awake.clone()))
                .collect(),
        };
        if let Some(own) = self.awake.get(user_id) {
            audience.insert(own.seat, own.clone());
        }
        for awake in audience.values() {
            awake.hear(UserSignal::DeviceListChanged {
                user_id: user_id.to_owned(),
                shard,
                position,
            });
        }
    }

    /// Device list changes up to a position of the users family are announced.
    pub(super) fn devices_announced(&self, shard: ShardNumber, position: Position) {
        if let Some(announced) = self.devices.get(usize::from(shard)) {
            announced.store(position, Ordering::Release);
        }
    }

    /// A user's presence as it was announced last.
    pub(crate) fn presence_of(&self, user_id: &UserId) -> Option<Arc<Presence>> {
        self.presence.get(user_id).map(|known| known.clone())
    }

    /// Whether this user is told of everybody's presence.
    pub(crate) fn observes(&self, user_id: &UserId) -> bool {
        self.observers.contains(user_id)
    }

    /// The server is shutting down: syncs that wait end.
    pub fn close(&self) {
        for awake in &self.awake {
            awake.hear(UserSignal::Closing);
        }
    }

    fn shard(&self, number: ShardNumber) -> Option<&Mutex<ShardRooms>> {
        self.shards.get(usize::from(number))
    }

    fn shard_of(&self, room_id: &RoomId) -> Option<&Mutex<ShardRooms>> {
        let shard = self.layout.shard_of(&Entity::room(room_id.as_str()));
        debug_assert_eq!(shard.family, Family::Rooms);
        self.shard(shard.number)
    }

    fn followers_of(&self, rooms: &[OwnedRoomId]) -> BTreeMap<u64, Arc<Awake>> {
        let mut found = BTreeMap::new();
        for room_id in rooms {
            let Some(shard) = self.shard_of(room_id) else {
                continue;
            };
            if let Some(followers) = shard.lock().followers.get(room_id) {
                found.extend(followers.iter().map(|one| (one.seat, one.clone())));
            }
        }
        found
    }

    fn forget(&self, awake: &Awake) {
        awake.is_gone.store(true, Ordering::Release);
        let rooms: Vec<_> = awake.rooms.lock().iter().cloned().collect();
        for room_id in rooms {
            if let Some(shard) = self.shard_of(&room_id) {
                shard.lock().remove(&room_id, awake);
            }
        }
    }
}

impl Board for FeedBoard {
    fn enter(self: Arc<Self>, user_id: &UserId, ear: Arc<dyn Ear>) -> (Seat, Vector) {
        let awake = Arc::new(Awake {
            seat: self.seats.fetch_add(1, Ordering::Relaxed),
            user_id: user_id.to_owned(),
            ear,
            rooms: Mutex::default(),
            is_gone: AtomicBool::new(false),
        });
        let seat = Seat {
            number: awake.seat,
            user_id: user_id.to_owned(),
            board: self.clone(),
        };
        if let Some(former) = self.awake.insert(user_id.to_owned(), awake) {
            self.forget(&former);
        }
        // Only now: what is announced after these positions finds the user awake.
        let positions = self.room_positions();
        (seat, positions)
    }

    fn follow(&self, seat: &Seat, rooms: &[OwnedRoomId]) -> Current {
        let mut current = Current::default();
        let own = self.awake.get(&seat.user_id).map(|awake| awake.clone());
        let Some(awake) = own.filter(|awake| awake.seat == seat.number) else {
            return current;
        };
        let mut neighbours = BTreeSet::new();
        for room_id in rooms {
            let Some(shard) = self.shard_of(room_id) else {
                continue;
            };
            let mut shard = shard.lock();
            shard.add(room_id, &awake);
            if let Some(users) = self.typing.get(room_id) {
                current.typing.push((room_id.clone(), users.clone()));
            }
            if let Some(followers) = shard.followers.get(room_id) {
                neighbours.extend(followers.iter().map(|one| one.user_id.clone()));
            }
        }
        if self.observes(&seat.user_id) {
            neighbours.extend(self.presence.iter().map(|known| known.key().clone()));
        }
        for user_id in neighbours {
            let known = self.presence.get(&user_id).map(|known| known.clone());
            if let Some(presence) = known
                && presence.presence != PresenceState::Offline
                && user_id != seat.user_id
            {
                current.presence.push((user_id, presence));
            }
        }
        current
    }

    fn leave(&self, user_id: &UserId, seat: u64) {
        let left = self.awake.remove_if(user_id, |_, awake| awake.seat == seat);
        if let Some((_, awake)) = left {
            self.forget(&awake);
        }
    }

    fn room_positions(&self) -> Vector {
        (0..)
            .zip(&self.shards)
            .map(|(number, shard)| (number, shard.lock().announced))
            .filter(|(_, position)| *position > 0)
            .collect()
    }

    fn device_positions(&self) -> Vector {
        (0..)
            .zip(&self.devices)
            .map(|(number, position)| (number, position.load(Ordering::Acquire)))
            .filter(|(_, position)| *position > 0)
            .collect()
    }

    fn announce_presence(&self, user_id: &UserId, presence: Arc<Presence>, rooms: &[OwnedRoomId]) {
        if let Some(abroad) = self.abroad.get() {
            abroad.presence_changed(&user_id.to_owned(), &presence, rooms, &self.observers);
        }
        self.show_presence(user_id, presence, rooms);
    }
}

impl TypingListener for FeedBoard {
    fn typing_changed(&self, room_id: &OwnedRoomId, users: Vec<OwnedUserId>) {
        if let Some(abroad) = self.abroad.get() {
            abroad.typing_changed(room_id, users.clone());
        }
        self.origins.forget(room_id);
        self.show_typing(room_id, users);
    }
}
