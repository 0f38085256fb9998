//! The board: what waits for which destination, in memory.
//!
//! The follower writes, deliveries take. Everything in it is a reference to the log or volatile by nature, and bounded; what does not fit makes the
//! destination lag, and then the log is asked.

mod parts;
mod reach;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use parking_lot::RwLock;
use playhouse_schema::{
    address::{Family, Layout, Position, Sequence, Shard, ShardNumber},
    record::{room::ReceiptMoved, server::Lag},
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, ServerName};
use tokio::sync::Notify;

pub use self::reach::Reach;
use self::reach::Reached;
pub(crate) use self::{
    parts::{combined, position_in},
    wanted::Wanted,
};
use super::slot::{Behind, Slot, Waiting};
use crate::user::message::Presence;

/// So many events may wait for a destination, and so many to-device messages and device lists; more makes it lag.
const WAITING_MAX: usize = 1_000;

/// So many receipts, typing users and presences may wait each. More receipts make it lag, too; of the others more are dropped.
const VOLATILE_MAX: usize = 1_000;

/// Something in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard.
    pub shard: Shard,
    /// The position in it.
    pub position: Position,
    /// The number among its entity's records.
    pub sequence: Sequence,
}

/// What waits in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Direct {
    /// To-device messages of a user.
    ToDevice(OwnedUserId),
    /// A change of a user's devices.
    Devices(OwnedUserId),
    /// A user came into a room with the server, which may know nothing of the user's devices, or what was true when they last met.
    Arrival(OwnedUserId),
}

/// What names a receipt: room, user, thread.
pub type ReceiptName = (OwnedRoomId, OwnedUserId, Option<String>);

/// See the module's documentation.
pub struct OutboxBoard {
    slots: DashMap<OwnedServerName, Arc<Slot>>,
    rooms: Vec<AtomicU64>,
    users: Vec<AtomicU64>,
    is_closing: AtomicBool,
    layout: Layout,
    /// Where destinations are on other nodes, too: which are here.
    parts: Option<RwLock<Parts>>,
    wanted: Notify,
    reached: Reached,
}

/// The shards of destinations that are on this node.
#[derive(Default)]
struct Parts {
    /// Each with the positions up to which all was distributed to its destinations before; what is read again before them is not for them.
    begun: BTreeMap<ShardNumber, Lag>,
    /// Those for which reading has not begun.
    wanted: Wanted,
}

/// What the board tells of all destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoardCounts {
    /// Destinations on the board.
    pub destinations: usize,
    /// Those that are behind.
    pub behind: usize,
    /// Those that wait for another attempt.
    pub backing_off: usize,
    /// References that wait.
    pub waiting: usize,
}

impl OutboxBoard {
    /// An empty board; everything up to these positions is distributed.
    pub fn new(layout: Layout, rooms: &Positions, users: &Positions) -> Arc<Self> {
        Arc::new(Self::at(layout, rooms, users))
    }

    /// As [`OutboxBoard::new`], where destinations are on other nodes too; here is none yet.
    pub fn in_parts(layout: Layout, rooms: &Positions, users: &Positions) -> Arc<Self> {
        Arc::new(Self {
            parts: Some(RwLock::default()),
            ..Self::at(layout, rooms, users)
        })
    }

    fn at(layout: Layout, rooms: &Positions, users: &Positions) -> Self {
        let at = |from: &Positions, number: ShardNumber| {
            AtomicU64::new(from.get(&number).copied().unwrap_or(0))
        };
        Self {
            slots: DashMap::new(),
            rooms: (0..layout.shards).map(|number| at(rooms, number)).collect(),
            users: (0..layout.shards).map(|number| at(users, number)).collect(),
            is_closing: AtomicBool::new(false),
            layout,
            parts: None,
            wanted: Notify::new(),
            reached: Reached::default(),
        }
    }

    /// A destination; it comes to be with the first question.
    pub(super) fn slot(&self, name: &ServerName) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(name) {
            return slot.clone();
        }
        self.slots.entry(name.to_owned()).or_default().clone()
    }

    /// A destination has unfinished business from an earlier life: it is behind (and that is noted), or has a transaction on its way.
    pub fn restore(&self, name: &ServerName, lags: bool, next_ms: u64) {
        // It may have left again while this was read.
        let Some(_taking) = self.takes(name, None) else {
            return;
        };
        let slot = self.slot(name);
        let mut inner = slot.inner.lock();
        inner.is_unfinished = true;
        inner.next_ms = next_ms;
        if lags {
            inner.behind = Some(Behind {
                from: Lag::default(),
                is_noted: true,
            });
        }
    }

    /// Something of the log is for a destination; whether its actor should be nudged.
    fn post(
        &self,
        name: &ServerName,
        place: &Place,
        put: impl FnOnce(&mut Waiting) -> bool,
    ) -> bool {
        let Some(_taking) = self.takes(name, Some(place)) else {
            return false;
        };
        let slot = self.slot(name);
        let mut inner = slot.inner.lock();
        let is_live = inner.behind.is_none();
        if is_live && put(&mut inner.waiting) {
            let is_asleep = !inner.is_delivering;
            drop(inner);
            slot.news.notify_one();
            return is_asleep;
        }
        if is_live {
            let from = self.floor(&inner.waiting);
            inner.fall_behind(from);
        }
        inner.missed.insert(place.shard, place.position);
        inner.is_unfinished = true;
        false
    }

    /// An event is for a destination.
    pub fn post_event(&self, name: &ServerName, room_id: &OwnedRoomId, place: &Place) -> bool {
        self.post(name, place, |waiting| {
            let has_room = waiting.events.len() < WAITING_MAX;
            if has_room {
                waiting.events.push_back((room_id.clone(), place.clone()));
            }
            has_room
        })
    }

    /// A to-device message or a change of devices is for a destination.
    pub fn post_direct(&self, name: &ServerName, direct: &Direct, place: &Place) -> bool {
        self.post(name, place, |waiting| {
            let has_room = waiting.direct.len() < WAITING_MAX;
            if has_room {
                waiting.direct.push_back((direct.clone(), place.clone()));
            }
            has_room
        })
    }

    /// A receipt is for a destination. A newer one replaces it. Where too many wait it lags: catching up asks the rooms for what moved.
    pub fn post_receipt(
        &self,
        name: &ServerName,
        receipt: &(ReceiptName, ReceiptMoved),
        place: &Place,
    ) -> bool {
        self.post(name, place, |waiting| {
            let (key, moved) = receipt;
            let has_room =
                waiting.receipts.len() < VOLATILE_MAX || waiting.receipts.contains_key(key);
            if has_room {
                let entry = (moved.clone(), place.clone());
                waiting.receipts.insert(key.clone(), entry);
            }
            has_room
        })
    }

    /// Something volatile is for a destination, unless it is behind.
    fn post_volatile(&self, name: &ServerName, put: impl FnOnce(&mut Waiting)) -> bool {
        let Some(_taking) = self.takes(name, None) else {
            return false;
        };
        let slot = self.slot(name);
        let mut inner = slot.inner.lock();
        if inner.behind.is_some() || inner.next_ms > 0 {
            return false;
        }
        put(&mut inner.waiting);
        let is_asleep = !inner.is_delivering;
        drop(inner);
        slot.news.notify_one();
        is_asleep
    }

    /// Posts something to several destinations; those whose actors should be nudged.
    pub fn post_to(
        &self,
        to: &BTreeSet<OwnedServerName>,
        post: impl Fn(&ServerName) -> bool,
    ) -> Receivers {
        to.iter().filter(|name| post(name)).cloned().collect()
    }

    /// Somebody types, or has stopped.
    pub fn post_typing(
        &self,
        name: &ServerName,
        key: &(OwnedRoomId, OwnedUserId),
        typing: bool,
    ) -> bool {
        self.post_volatile(name, |waiting| {
            if waiting.typing.len() < VOLATILE_MAX || waiting.typing.contains_key(key) {
                waiting.typing.insert(key.clone(), typing);
            }
        })
    }

    /// Somebody's presence changed.
    pub fn post_presence(
        &self,
        name: &ServerName,
        user_id: &OwnedUserId,
        presence: &Arc<Presence>,
    ) -> bool {
        self.post_volatile(name, |waiting| {
            let known = waiting.presence.contains_key(user_id);
            if known || waiting.presence.len() < VOLATILE_MAX {
                waiting.presence.insert(user_id.clone(), presence.clone());
            }
        })
    }

    /// Everything up to a position is distributed.
    pub fn distributed(&self, shard: Shard, position: Position) {
        let positions = match shard.family {
            Family::Rooms => &self.rooms,
            _ => &self.users,
        };
        if let Some(known) = positions.get(usize::from(shard.number)) {
            known.store(position, Ordering::Release);
        }
    }

    /// How far all is distributed.
    pub fn positions(&self) -> Lag {
        let read = |positions: &[AtomicU64]| {
            (0..)
                .zip(positions)
                .map(|(number, position)| (number, position.load(Ordering::Acquire)))
                .collect()
        };
        Lag {
            rooms: read(&self.rooms),
            users: read(&self.users),
        }
    }

    /// Up to where nothing waits among these.
    pub(super) fn floor(&self, waiting: &Waiting) -> Lag {
        let mut floor = self.positions();
        for place in waiting.places() {
            lower(&mut floor, place.shard, place.position.saturating_sub(1));
        }
        floor
    }

    /// Up to where nothing is lost with this process: the follower may store these positions.
    pub fn settled(&self) -> Lag {
        self.settled_for(self.positions(), |_| true)
    }

    fn settled_for(&self, distributed: Lag, concerns: impl Fn(&ServerName) -> bool) -> Lag {
        let mut settled = distributed;
        for slot in self.slots.iter().filter(|slot| concerns(slot.key())) {
            let inner = slot.inner.lock();
            for place in inner.waiting.places() {
                lower(&mut settled, place.shard, place.position.saturating_sub(1));
            }
            if let Some(behind) = inner.behind.as_ref().filter(|behind| !behind.is_noted) {
                for (family, from) in [
                    (Family::Rooms, &behind.from.rooms),
                    (Family::Users, &behind.from.users),
                ] {
                    for (number, position) in from {
                        let number = *number;
                        lower(&mut settled, Shard { family, number }, *position);
                    }
                }
            }
        }
        settled
    }

    /// Destinations that should be nudged at this time. Those with nothing left to do leave the board.
    pub fn due(&self, now_ms: u64) -> Vec<OwnedServerName> {
        let mut due = Vec::new();
        self.slots.retain(|name, slot| {
            let inner = slot.inner.lock();
            let is_idle = inner.is_idle();
            if inner.is_due(now_ms) {
                due.push(name.clone());
            }
            // Who holds it besides the board may be about to write into it.
            !is_idle || Arc::strong_count(slot) > 1
        });
        due
    }

    /// Whether a destination has something to do that waits for its time.
    pub fn waits(&self, name: &ServerName) -> bool {
        let slot = self.slots.get(name);
        slot.is_some_and(|slot| slot.inner.lock().next_ms > 0)
    }

    /// A destination gave a sign of life: whether its actor should hear of that. Costs a look where nothing waits for its time; elsewhere it is `true` now and
    /// then only, so that who asks and cannot be asked is not tried all the time.
    pub fn heeds(&self, name: &ServerName, now_ms: u64) -> bool {
        let slot = self.slots.get(name);
        slot.is_some_and(|slot| slot.inner.lock().heeds(now_ms))
    }

    /// Whether any delivery runs.
    pub fn is_delivering(&self) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.inner.lock().is_delivering)
    }

    /// Figures for the metrics.
    pub fn counts(&self) -> BoardCounts {
        let mut counts = BoardCounts::default();
        for slot in &self.slots {
            let inner = slot.inner.lock();
            counts.destinations += 1;
            counts.behind += usize::from(inner.behind.is_some());
            counts.backing_off += usize::from(inner.next_ms > 0);
            counts.waiting += inner.waiting.places().count();
        }
        counts
    }

    /// Deliveries end as soon as they can.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        for slot in &self.slots {
            slot.news.notify_one();
        }
    }

    /// Whether deliveries should end.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }
}

/// Destinations to be nudged.
pub type Receivers = Vec<OwnedServerName>;

/// Positions by shard.
pub type Positions = BTreeMap<ShardNumber, Position>;

fn lower(positions: &mut Lag, shard: Shard, position: Position) {
    let of_family = match shard.family {
        Family::Rooms => &mut positions.rooms,
        _ => &mut positions.users,
    };
    let found = of_family
        .iter_mut()
        .find(|(number, _)| *number == shard.number);
    if let Some((_, known)) = found {
        *known = (*known).min(position);
    }
}
