//! One user on the board: what waits to be judged, and what is remembered of the last time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use playhouse_schema::address::{Position, Sequence, ShardNumber};
use ruma::{EventId, OwnedRoomId, RoomId};

use super::{board::Positions, ledger::Ledger};
use crate::{
    server::board::Place,
    user::{message::RoomNews, push_standing::Standing},
};

/// So many news of a room are held; of more the log is asked.
const NEWS_MAX: usize = 16;

/// So many rooms may wait for a user; with more everything since then is looked through.
const ROOMS_MAX: usize = 2_000;

/// A room in which something happened.
#[derive(Clone, Debug)]
pub(super) struct Dirty {
    /// Where the first of it lies.
    pub(super) first: Place,
    /// Where the last of it lies.
    pub(super) last: Place,
    /// What it was, in order; empty when it was too much.
    pub(super) news: Vec<Arc<RoomNews>>,
    /// It was too much.
    pub(super) is_cut: bool,
    /// Memberships of the user may have changed.
    pub(super) moves: bool,
    /// The last event that was there before this process, by number: what an earlier one was doing about it when it ended nobody knows. 0 when there is none.
    pub(super) reread: Sequence,
}

/// What is taken from the board at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// By room.
    pub(super) rooms: BTreeMap<OwnedRoomId, Dirty>,
    /// Something may have happened in any room after these positions.
    pub(super) flood: Option<Positions>,
    /// Gateways of pushers that lag may have been told something of which nobody knows.
    pub(super) is_unsure: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty() && self.flood.is_none()
    }

    /// Whether the gateway of a pusher may have been told something of which nobody knows.
    pub(super) fn leaves_unsure(&self, standing: &Standing) -> bool {
        let is_open = |(room_id, dirty): (&OwnedRoomId, &Dirty)| {
            let pushed = standing.pushed.get(room_id.as_str());
            dirty.reread > pushed.map_or(0, |(pushed, _)| *pushed)
        };
        (self.is_unsure && standing.lag.is_some()) || self.rooms.iter().any(is_open)
    }

    /// It is too much to be held room by room.
    fn drown(&mut self, floor: Positions) {
        self.is_unsure |= self.rooms.values().any(|dirty| dirty.reread > 0);
        self.rooms.clear();
        self.flood = Some(floor);
    }

    fn lower(&self, floor: &mut Positions) {
        let places = self.rooms.values().map(|dirty| &dirty.first);
        for place in places {
            lower(floor, place.shard.number, place.position.saturating_sub(1));
        }
        for (number, position) in self.flood.iter().flatten() {
            lower(floor, *number, *position);
        }
    }
}

pub(super) fn lower(floor: &mut Positions, number: u16, position: u64) {
    let known = floor.entry(number).or_default();
    *known = position.min(*known);
}

/// Of two times the earlier one; 0 is never.
pub(super) fn sooner(one_ms: u64, other_ms: u64) -> u64 {
    match (one_ms, other_ms) {
        (0, time) | (time, 0) => time,
        (one, other) => one.min(other),
    }
}

/// What is known of a user.
#[derive(Default)]
pub(super) struct Inner {
    waiting: Batch,
    /// Where what is being dealt with begins.
    in_hand: Option<Positions>,
    /// There is something to be tried at this time; 0 when there is not.
    next_ms: u64,
    /// Nothing at all is done before this time.
    pause_ms: u64,
    is_delivering: bool,
    /// The user has left this node.
    is_gone: bool,
    ledger: Option<(Box<Ledger>, u64)>,
    /// When mails become due, by pusher.
    mail_due_ms: BTreeMap<Sequence, u64>,
    /// Pushers whose gateways this process has told the counts, since anything was in doubt.
    assured: BTreeSet<Sequence>,
}

/// One user on the board.
#[derive(Default)]
pub(super) struct Slot(Mutex<Inner>);

/// Held by the delivery that runs.
pub(super) struct Engaged(pub(super) Arc<Slot>);

impl Drop for Engaged {
    fn drop(&mut self) {
        self.0.0.lock().is_delivering = false;
    }
}

impl Slot {
    /// A delivery begins, unless one runs or there is none to run. It is the only one until the answer is dropped.
    pub(super) fn engage(self: &Arc<Self>) -> Option<Engaged> {
        let mut inner = self.0.lock();
        if inner.is_delivering || inner.is_gone {
            return None;
        }
        inner.is_delivering = true;
        drop(inner);
        Some(Engaged(self.clone()))
    }

    /// Something happened in a room; whether somebody must be told to look.
    pub(super) fn post(
        &self,
        (room_id, place): (&OwnedRoomId, &Place),
        (news, moves, is_reread): (&Arc<RoomNews>, bool, bool),
        floor: impl FnOnce() -> Positions,
    ) -> bool {
        let mut inner = self.0.lock();
        if inner.is_gone {
            return false;
        }
        let is_reread = is_reread && news.event().is_some();
        if inner.waiting.flood.is_some() {
            inner.waiting.is_unsure |= is_reread;
            return !inner.is_delivering;
        }
        if inner.waiting.rooms.len() >= ROOMS_MAX && !inner.waiting.rooms.contains_key(room_id) {
            let mut floor = floor();
            inner.waiting.lower(&mut floor);
            lower(
                &mut floor,
                place.shard.number,
                place.position.saturating_sub(1),
            );
            inner.waiting.drown(floor);
            inner.waiting.is_unsure |= is_reread;
            return !inner.is_delivering;
        }
        let dirty = inner.waiting.rooms.entry(room_id.clone());
        let dirty = dirty.or_insert_with(|| Dirty {
            first: place.clone(),
            last: place.clone(),
            news: Vec::new(),
            is_cut: false,
            moves: false,
            reread: 0,
        });
        dirty.last = place.clone();
        dirty.moves |= moves;
        if is_reread {
            dirty.reread = place.sequence;
        }
        if dirty.news.len() >= NEWS_MAX {
            dirty.is_cut = true;
            dirty.news = Vec::new();
        } else if !dirty.is_cut {
            dirty.news.push(news.clone());
        }
        !inner.is_delivering
    }

    /// Something may have happened in any room after these positions; whether somebody must be told to look.
    pub(super) fn flood(&self, mut from: Positions) -> bool {
        let mut inner = self.0.lock();
        if inner.is_gone {
            return false;
        }
        inner.waiting.lower(&mut from);
        inner.waiting.drown(from);
        !inner.is_delivering
    }

    /// Takes what waits. Until [`Slot::done`] it counts as not dealt with. `floor` is how far all is distributed.
    pub(super) fn take(&self, floor: impl FnOnce() -> Positions) -> (Batch, Positions) {
        let mut inner = self.0.lock();
        let mut from = floor();
        let batch = std::mem::take(&mut inner.waiting);
        batch.lower(&mut from);
        inner.in_hand = (!batch.is_empty()).then(|| from.clone());
        inner.next_ms = 0;
        (batch, from)
    }

    /// What was taken is dealt with; the next attempt is at this time (0: there is nothing to try).
    pub(super) fn done(&self, next_ms: u64) {
        let mut inner = self.0.lock();
        inner.in_hand = None;
        // Somebody may have asked for an attempt meanwhile.
        inner.next_ms = sooner(inner.next_ms, next_ms);
    }

    /// What was taken is noted in the log meanwhile: it is not lost with this process.
    pub(super) fn let_go(&self) {
        self.0.lock().in_hand = None;
    }

    /// What was taken could not be dealt with: it is taken again later.
    pub(super) fn put_back(&self, pause_ms: u64) {
        let mut inner = self.0.lock();
        if let Some(from) = inner.in_hand.take() {
            let mut floor = inner.waiting.flood.take().unwrap_or_else(|| from.clone());
            for (number, position) in &from {
                lower(&mut floor, *number, *position);
            }
            inner.waiting.lower(&mut floor);
            inner.waiting.drown(floor);
        }
        // A push may have been taken, and could not be noted.
        inner.waiting.is_unsure = true;
        inner.assured.clear();
        inner.ledger = None;
        inner.pause_ms = pause_ms;
        inner.next_ms = inner.next_ms.max(1);
    }

    /// What an earlier process was doing about what waits nobody knows.
    pub(super) fn doubt(&self) {
        let mut inner = self.0.lock();
        inner.waiting.is_unsure = true;
        inner.assured.clear();
    }

    /// A gateway was told the counts: whatever an earlier process has told it is no matter any more, however much is still read again.
    pub(super) fn assure(&self, pusher: Sequence) {
        self.0.lock().assured.insert(pusher);
    }

    /// Which of these pushers are in no doubt. Others are forgotten.
    pub(super) fn assured(&self, pushers: &BTreeSet<Sequence>) -> BTreeSet<Sequence> {
        let mut inner = self.0.lock();
        inner.assured.retain(|pusher| pushers.contains(pusher));
        inner.assured.clone()
    }

    /// There is something to try at this time, and not later.
    pub(super) fn expect_at(&self, at_ms: u64) {
        let mut inner = self.0.lock();
        inner.next_ms = sooner(inner.next_ms, at_ms.max(1));
    }

    /// Whether there is something to do at this time.
    pub(super) fn has_work(&self, now_ms: u64) -> bool {
        let inner = self.0.lock();
        let is_time = inner.next_ms > 0 && inner.next_ms <= now_ms;
        inner.pause_ms <= now_ms && !inner.is_gone && (is_time || !inner.waiting.is_empty())
    }

    /// Whether a delivery should begin.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.has_work(now_ms) && !self.is_delivering()
    }

    /// Whether anything waits, now or later.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.0.lock();
        !inner.is_delivering
            && inner.waiting.is_empty()
            && inner.in_hand.is_none()
            && inner.next_ms == 0
    }

    pub(super) fn is_delivering(&self) -> bool {
        self.0.lock().is_delivering
    }

    /// Whether something may happen later.
    pub(super) fn lags(&self) -> bool {
        self.0.lock().next_ms > 0
    }

    /// Positions move back to where nothing is lost with this process.
    pub(super) fn settle(&self, settled: &mut Positions) {
        let inner = self.0.lock();
        inner.waiting.lower(settled);
        for (number, position) in inner.in_hand.iter().flatten() {
            lower(settled, *number, *position);
        }
    }

    /// Whether an event is redacted by something that waits.
    pub(super) fn is_redacted(&self, room_id: &RoomId, event_id: &EventId) -> bool {
        let inner = self.0.lock();
        let news = inner.waiting.rooms.get(room_id);
        let mut events = news.into_iter().flat_map(|dirty| &dirty.news);
        events.any(|news| {
            let event = news.event();
            event.is_some_and(|event| event.pdu.redacts.as_deref() == Some(event_id))
        })
    }

    /// Whether what lies at a place waits, or may be in hand.
    pub(super) fn holds(
        &self,
        room_id: &RoomId,
        (number, position): (ShardNumber, Position),
    ) -> bool {
        let inner = self.0.lock();
        let is_after = |floor: &Positions| position > floor.get(&number).copied().unwrap_or(0);
        let dirty = inner.waiting.rooms.get(room_id);
        dirty.is_some_and(|dirty| position >= dirty.first.position)
            || inner.waiting.flood.as_ref().is_some_and(is_after)
            || inner.in_hand.as_ref().is_some_and(is_after)
    }

    /// The user has left this node.
    pub(super) fn leave(&self) {
        let mut inner = self.0.lock();
        inner.is_gone = true;
        inner.waiting = Batch::default();
        inner.in_hand = None;
        inner.next_ms = 0;
        inner.ledger = None;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.0.lock().is_gone
    }

    /// What was counted last.
    pub(super) fn take_ledger(&self) -> Option<Box<Ledger>> {
        let ledger = self.0.lock().ledger.take();
        ledger.map(|(ledger, _)| ledger)
    }

    /// Keeps what was counted, for a while.
    pub(super) fn keep_ledger(&self, ledger: Box<Ledger>, now_ms: u64) {
        let mut inner = self.0.lock();
        if !inner.is_gone {
            inner.ledger = Some((ledger, now_ms));
        }
    }

    /// Lets go of what was counted: of single events when it was not used since the first time or no more may be held, and of all when not since the second
    /// or when it tells of more rooms than may be remembered. What is left: of how many rooms, and whether with single events.
    pub(super) fn age_ledger(
        &self,
        (whole_ms, kept_ms): (u64, u64),
        (rooms_max, whole_max): (usize, usize),
    ) -> Option<(usize, bool)> {
        let mut inner = self.0.lock();
        inner
            .ledger
            .take_if(|(ledger, used_ms)| *used_ms < kept_ms || ledger.rooms() > rooms_max);
        let (ledger, used_ms) = inner.ledger.as_mut()?;
        if *used_ms < whole_ms || whole_max == 0 {
            ledger.thin();
        }
        Some((ledger.rooms(), !ledger.is_thin()))
    }

    /// When a mail becomes due; `None` when that is not known.
    pub(super) fn mail_due(&self, pusher: Sequence) -> Option<u64> {
        self.0.lock().mail_due_ms.get(&pusher).copied()
    }

    /// Says when a mail becomes due.
    pub(super) fn set_mail_due(&self, pusher: Sequence, due_ms: Option<u64>) {
        let mut inner = self.0.lock();
        match due_ms {
            Some(due_ms) => inner.mail_due_ms.insert(pusher, due_ms),
            None => inner.mail_due_ms.remove(&pusher),
        };
    }
}
