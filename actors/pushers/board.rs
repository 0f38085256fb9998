//! The board: what waits for which user's pushers, in memory.
//!
//! The follower writes, deliveries take. Everything in it is a reference to the log, and bounded. Users are on it together with the others of their shard:
//! where there are several nodes, each shard has a position of its own in the database, and "here" is the node that pushes to its users.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::{DashMap, DashSet};
use parking_lot::RwLock;
use playhouse_schema::address::{Entity, Layout, Position, Shard, ShardNumber};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{Notify, watch};

use super::{
    prospect::{Left, PushedEvent},
    slot::Slot,
};
use crate::{
    server::board::{Place, Wanted},
    user::{PusherEar, message::RoomNews},
};

/// Users' unread events are held for so long …
const LEDGER_WHOLE_MS: u64 = 10 * 60 * 1000;

/// … of so many users.
const LEDGERS_WHOLE_MAX: usize = 1_000;

/// How many there were is remembered for longer: to count anew asks, and wakes, all rooms of a user.
const LEDGER_KEPT_MS: u64 = 6 * 60 * 60 * 1000;

/// Of so many rooms of all users together.
const LEDGER_ROOMS_MAX: usize = 200_000;

/// Positions of the rooms' shards.
pub(super) type Positions = BTreeMap<ShardNumber, Position>;

/// How the house closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It is open.
    Open,
    /// What is on its way may end; nothing more begins.
    Closing,
    /// What is on its way is given up.
    CutOff,
}

/// See the module's documentation.
pub struct PushBoard {
    slots: DashMap<OwnedUserId, Arc<Slot>>,
    /// Users who have pushers, or had some.
    roster: DashSet<OwnedUserId>,
    rooms: Vec<AtomicU64>,
    /// What lies up to here was recorded before this process pushed.
    before: RwLock<Positions>,
    layout: Layout,
    /// Where users are on other nodes, too: which are here.
    parts: Option<RwLock<Parts>>,
    wanted: Notify,
    phase: watch::Sender<Phase>,
}

/// The shards of users that are on this node.
#[derive(Default)]
struct Parts {
    /// Each with the positions up to which all was distributed to its users before; what is read again before them is not for them.
    begun: BTreeMap<ShardNumber, Positions>,
    /// Those for which reading has not begun.
    wanted: Wanted,
}

/// What the board tells of all users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushCounts {
    /// Users with pushers.
    pub users: usize,
    /// Users for whom something is to be done, now or later.
    pub busy: usize,
    /// Users for whom something is to be tried later.
    pub lagging: usize,
}

impl PushBoard {
    /// An empty board; everything up to these positions is distributed.
    pub fn new(layout: Layout, rooms: &Positions, is_alone: bool) -> Arc<Self> {
        let at = |number: ShardNumber| AtomicU64::new(rooms.get(&number).copied().unwrap_or(0));
        Arc::new(Self {
            slots: DashMap::new(),
            roster: DashSet::new(),
            rooms: (0..layout.shards).map(at).collect(),
            before: RwLock::default(),
            layout,
            parts: (!is_alone).then(RwLock::default),
            wanted: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
        })
    }

    /// A user; the first question makes the slot.
    pub(super) fn slot(&self, user_id: &UserId) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(user_id) {
            return slot.clone();
        }
        self.slots.entry(user_id.to_owned()).or_default().clone()
    }

    /// A user has pushers.
    pub(super) fn enrol(&self, user_id: &UserId) {
        if !self.roster.contains(user_id) {
            self.roster.insert(user_id.to_owned());
        }
    }

    /// A user has no pushers any more.
    pub(super) fn strike(&self, user_id: &UserId) {
        self.roster.remove(user_id);
    }

    /// The log says that a user has set a pusher. Who was not known to have one may have missed what happened after the positions that are told. Whether a delivery
    /// should begin.
    pub(super) fn heard(&self, user_id: &UserId, before: impl FnOnce() -> Positions) -> bool {
        if !self.has_begun(user_id) {
            return false;
        }
        if self.roster.insert(user_id.to_owned()) {
            return self.slot(user_id).flood(before());
        }
        if let Some(slot) = self.slots.get(user_id) {
            slot.expect_at(1);
        }
        false
    }

    /// Whether a user may have pushers.
    pub(super) fn is_enrolled(&self, user_id: &UserId) -> bool {
        self.roster.contains(user_id)
    }

    /// Whether nobody here has pushers.
    pub(super) fn is_void(&self) -> bool {
        self.roster.is_empty()
    }

    /// What lies up to these positions was recorded before: an earlier process, or another node, may have been pushing it when it ended.
    pub(super) fn begin_after(&self, heads: &Positions) {
        let mut before = self.before.write();
        for (number, position) in heads {
            let known = before.entry(*number).or_default();
            *known = (*known).max(*position);
        }
    }

    fn is_reread(&self, place: &Place) -> bool {
        let before = self.before.read();
        let until = before.get(&place.shard.number);
        until.is_some_and(|until| place.position <= *until)
    }

    /// Something for a user's pushers happened in a room; whether a delivery should begin.
    pub(super) fn post(
        &self,
        user_id: &UserId,
        (room_id, place): (&OwnedRoomId, &Place),
        (news, moves): (&Arc<RoomNews>, bool),
    ) -> bool {
        if !self.is_enrolled(user_id) || !self.takes(user_id, place) {
            return false;
        }
        let slot = self.slot(user_id);
        let news = (news, moves, self.is_reread(place));
        slot.post((room_id, place), news, || self.positions())
    }

    /// Everything up to a position is distributed.
    pub(super) fn distributed(&self, shard: Shard, position: Position) {
        if let Some(known) = self.rooms.get(usize::from(shard.number)) {
            known.store(position, Ordering::Release);
        }
    }

    /// How far all is distributed.
    pub(super) fn positions(&self) -> Positions {
        let positions = (0..).zip(&self.rooms);
        positions
            .map(|(number, position)| (number, position.load(Ordering::Acquire)))
            .collect()
    }

    /// Up to where nothing is lost with this process: the follower may store these positions.
    pub(super) fn settled(&self) -> Positions {
        self.settled_for(self.positions(), |_| true)
    }

    fn settled_for(&self, distributed: Positions, concerns: impl Fn(&UserId) -> bool) -> Positions {
        let mut settled = distributed;
        for slot in self.slots.iter().filter(|slot| concerns(slot.key())) {
            slot.settle(&mut settled);
        }
        settled
    }

    /// Users for whom a delivery should begin at this time. Those with nothing left to do leave the board after a while.
    pub(super) fn due(&self, now_ms: u64) -> Vec<OwnedUserId> {
        let mut due = Vec::new();
        let (mut rooms_left, mut whole_left) = (LEDGER_ROOMS_MAX, LEDGERS_WHOLE_MAX);
        let whole_ms = now_ms.saturating_sub(LEDGER_WHOLE_MS);
        let kept_ms = now_ms.saturating_sub(LEDGER_KEPT_MS);
        self.slots.retain(|user_id, slot| {
            if slot.is_due(now_ms) {
                due.push(user_id.clone());
            }
            let left = slot.age_ledger((whole_ms, kept_ms), (rooms_left, whole_left));
            if let Some((rooms, is_whole)) = left {
                rooms_left -= rooms;
                whole_left -= usize::from(is_whole);
            }
            // Who holds it besides the board may be about to write into it.
            left.is_some() || !slot.is_idle() || Arc::strong_count(slot) > 1
        });
        due
    }

    /// Whether any delivery runs.
    pub(super) fn is_delivering(&self) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.is_delivering())
    }

    /// Figures for the metrics.
    pub fn counts(&self) -> PushCounts {
        let mut counts = PushCounts {
            users: self.roster.len(),
            ..PushCounts::default()
        };
        for slot in &self.slots {
            counts.busy += usize::from(!slot.is_idle());
            counts.lagging += usize::from(slot.lags());
        }
        counts
    }

    /// Deliveries end as soon as they can.
    pub(super) fn close(&self) {
        self.enter_phase(Phase::Closing);
    }

    /// Deliveries end at once.
    pub(super) fn cut_off(&self) {
        self.enter_phase(Phase::CutOff);
    }

    fn enter_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|known| {
            let is_further = *known < phase;
            if is_further {
                *known = phase;
            }
            is_further
        });
    }

    /// Whether nothing more should begin.
    pub(super) fn is_closing(&self) -> bool {
        *self.phase.borrow() != Phase::Open
    }

    /// Waits until the house has come so far in closing.
    pub(super) async fn reaches(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        // The board itself can tell as long as somebody waits here.
        let _ = phases.wait_for(|known| *known >= phase).await;
    }

    /// Whether a user is here, and what lies at a place is news to the user.
    fn takes(&self, user_id: &UserId, place: &Place) -> bool {
        let Some(parts) = &self.parts else {
            return true;
        };
        let parts = parts.read();
        let Some(begun) = parts.begun.get(&self.part_of(user_id)) else {
            return false;
        };
        place.position > begun.get(&place.shard.number).copied().unwrap_or(0)
    }

    /// Whether a user is here.
    pub(crate) fn has_begun(&self, user_id: &UserId) -> bool {
        let Some(parts) = &self.parts else {
            return true;
        };
        parts.read().begun.contains_key(&self.part_of(user_id))
    }

    /// What is left to do about an event for a user's pushers; `None` when the user is not here.
    pub(super) fn left_for(&self, user_id: &UserId, event: &PushedEvent) -> Option<Left> {
        if !self.has_begun(user_id) {
            return None;
        }
        let distributed = self.rooms.get(usize::from(event.number));
        let distributed = distributed.map_or(0, |known| known.load(Ordering::Acquire));
        if event.position > distributed {
            return Some(Left::Unread);
        }
        let slot = self.slots.get(user_id).map(|slot| slot.clone());
        let place = (event.number, event.position);
        let holds = slot.is_some_and(|slot| slot.holds(&event.room_id, place));
        Some(if holds { Left::Waiting } else { Left::Nothing })
    }

    /// The shard of a user.
    pub(super) fn part_of(&self, user_id: &UserId) -> ShardNumber {
        let entity = Entity::user(user_id.as_str());
        self.layout.shard_of(&entity).number
    }

    /// Whether users may be on other nodes.
    pub(super) fn is_in_parts(&self) -> bool {
        self.parts.is_some()
    }

    /// The users of a shard come here.
    pub fn want(&self, number: ShardNumber) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.want(number);
            self.wanted.notify_one();
        }
    }

    /// Users have come for whom reading cannot begin before this time.
    pub(super) fn put_off(&self, numbers: &[ShardNumber], until_ms: u64) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.put_off(numbers, until_ms);
        }
    }

    /// For those it is time again for whom reading could not begin before.
    pub(super) fn want_again(&self, now_ms: u64) {
        if let Some(parts) = &self.parts {
            parts.write().wanted.again(now_ms);
            self.wanted.notify_one();
        }
    }

    /// Waits until users have come for whom reading has not begun. One at a time may wait.
    pub(super) async fn wanted(&self) -> Vec<ShardNumber> {
        loop {
            let Some(parts) = &self.parts else {
                return std::future::pending().await;
            };
            let wanted = parts.read().wanted.now();
            if !wanted.is_empty() {
                return wanted;
            }
            self.wanted.notified().await;
        }
    }

    /// Begins with the users of shards, each with the positions up to which they have everything. From where the log is to be read now.
    pub(super) fn begin(&self, taken: Vec<(ShardNumber, Positions)>) -> Positions {
        let now = self.positions();
        let Some(parts) = &self.parts else {
            return now;
        };
        let mut parts = parts.write();
        for begun in parts.begun.values_mut() {
            *begun = combined(begun, &now, Position::max);
        }
        let mut from = (!parts.begun.is_empty()).then_some(now);
        for (number, at) in taken {
            // It may have left again meanwhile.
            if !parts.wanted.begin(number) {
                continue;
            }
            from = Some(match from {
                Some(from) => combined(&at, &from, Position::min),
                None => at.clone(),
            });
            parts.begun.insert(number, at);
        }
        drop(parts);
        for (number, position) in from.iter().flatten() {
            if let Some(known) = self.rooms.get(usize::from(*number)) {
                known.store(*position, Ordering::Release);
            }
        }
        self.positions()
    }

    /// The users of a shard leave this node: up to where nothing of theirs is lost. Nothing is taken for them from now on.
    pub(super) fn leave(&self, number: ShardNumber) -> Option<Positions> {
        let settled = self.settled_in(number);
        if let Some(parts) = &self.parts {
            let mut parts = parts.write();
            parts.begun.remove(&number);
            parts.wanted.leave(number);
        }
        self.slots.retain(|user_id, slot| {
            let leaves = self.part_of(user_id) == number;
            if leaves {
                slot.leave();
            }
            !leaves
        });
        self.roster
            .retain(|user_id| self.part_of(user_id) != number);
        settled
    }

    /// The shards of users that are here, and up to where nothing of each is lost with this process.
    pub(super) fn settled_parts(&self) -> Vec<(ShardNumber, Positions)> {
        let Some(parts) = &self.parts else {
            return Vec::new();
        };
        let numbers: Vec<_> = parts.read().begun.keys().copied().collect();
        let settled = numbers.into_iter();
        settled
            .filter_map(|number| Some((number, self.settled_in(number)?)))
            .collect()
    }

    fn settled_in(&self, number: ShardNumber) -> Option<Positions> {
        let begun = self.parts.as_ref()?.read().begun.get(&number)?.clone();
        let distributed = combined(&begun, &self.positions(), Position::max);
        Some(self.settled_for(distributed, |user_id| self.part_of(user_id) == number))
    }
}

impl PusherEar for PushBoard {
    fn pusher_set(&self, user_id: &UserId) {
        self.enrol(user_id);
        if let Some(slot) = self.slots.get(user_id) {
            // What failed may be right now: no need to wait any longer.
            slot.expect_at(1);
        }
    }

    fn rules_changed(&self, user_id: &UserId) {
        if self.is_enrolled(user_id) && self.has_begun(user_id) {
            self.slot(user_id).expect_at(1);
        }
    }
}

/// Of two positions of each shard one; the second has all shards.
fn combined(
    one: &Positions,
    other: &Positions,
    choose: impl Fn(Position, Position) -> Position,
) -> Positions {
    let mut chosen = other.clone();
    for (number, position) in &mut chosen {
        *position = choose(one.get(number).copied().unwrap_or(0), *position);
    }
    chosen
}
