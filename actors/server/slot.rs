//! One destination on the board: what waits for it, and whether it is behind.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Position, Shard},
    record::{room::ReceiptMoved, server::Lag},
};
use ruma::{OwnedRoomId, OwnedUserId};
use tokio::sync::Notify;

use super::{
    board::{Direct, OutboxBoard, Place, ReceiptName, position_in},
    body::Batch,
    refusals::Refusals,
    signs::Signs,
};
use crate::{network::PeerError, user::message::Presence};

/// What waits for a destination.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) events: VecDeque<(OwnedRoomId, Place)>,
    pub(super) direct: VecDeque<(Direct, Place)>,
    pub(super) receipts: BTreeMap<ReceiptName, (ReceiptMoved, Place)>,
    pub(super) typing: BTreeMap<(OwnedRoomId, OwnedUserId), bool>,
    pub(super) presence: BTreeMap<OwnedUserId, Arc<Presence>>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.direct.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && self.presence.is_empty()
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        let events = self.events.iter().map(|(_, place)| place);
        let direct = self.direct.iter().map(|(_, place)| place);
        let receipts = self.receipts.values().map(|(_, place)| place);
        events.chain(direct).chain(receipts)
    }

    /// Drops what lies before these positions.
    pub(super) fn drop_done(&mut self, done: &Lag) {
        let is_left = |place: &Place| place.position > position_in(done, place.shard);
        self.events.retain(|(_, place)| is_left(place));
        self.direct.retain(|(_, place)| is_left(place));
        self.receipts.retain(|_, (_, place)| is_left(place));
    }
}

/// A destination that is behind.
pub(super) struct Behind {
    pub(super) from: Lag,
    pub(super) is_noted: bool,
}

/// What is known of a destination.
#[derive(Default)]
pub(super) struct Inner {
    pub(super) waiting: Waiting,
    pub(super) behind: Option<Behind>,
    /// The newest that came for it while it was behind, by shard.
    pub(super) missed: BTreeMap<Shard, Position>,
    pub(super) next_ms: u64,
    pub(super) is_unfinished: bool,
    pub(super) is_delivering: bool,
    /// It is owed something of which its delivery has not heard.
    pub(super) owes: bool,
    /// Its signs of life since it failed.
    signs: Signs,
    /// How often it refused the transaction on its way.
    refusals: Refusals,
}

/// One destination on the board.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) inner: Mutex<Inner>,
    /// Something came.
    pub(super) news: Notify,
    /// There was a sign of life.
    revival: Notify,
}

/// Held by the delivery that runs.
pub(super) struct Engaged(Arc<Slot>);

impl Drop for Engaged {
    fn drop(&mut self) {
        self.0.inner.lock().is_delivering = false;
    }
}

impl Inner {
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        !self.is_delivering && !self.is_idle() && self.next_ms <= now_ms
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_none() && !self.is_unfinished && !self.owes
    }

    /// It gave a sign of life: whether that counts. It never does where nothing waits for its time.
    pub(super) fn heeds(&mut self, now_ms: u64) -> bool {
        self.next_ms > 0 && self.signs.heed(now_ms)
    }

    /// Whether nothing that it missed lies beyond these positions.
    fn has_missed_only(&self, upto: &Lag) -> bool {
        self.missed.iter().all(|(shard, position)| {
            let of_family = match shard.family {
                Family::Rooms => &upto.rooms,
                _ => &upto.users,
            };
            let found = of_family.iter().find(|(number, _)| *number == shard.number);
            found.is_some_and(|(_, reached)| position <= reached)
        })
    }

    /// What waits is left to catching up.
    fn drop_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for place in waiting.places() {
            let missed = self.missed.entry(place.shard).or_default();
            *missed = place.position.max(*missed);
        }
    }

    pub(super) fn fall_behind(&mut self, from: Lag) {
        self.drop_waiting();
        self.behind = Some(Behind {
            from,
            is_noted: false,
        });
    }
}

impl Slot {
    /// Looks at what waits.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Waiting) -> T) -> T {
        look(&mut self.inner.lock().waiting)
    }

    /// Up to where the destination needs nothing any more once a batch is recorded, in the shards of what is in it.
    pub(super) fn done_with(&self, batch: &Batch, board: &OutboxBoard) -> Lag {
        let inner = self.inner.lock();
        if inner.behind.is_some() {
            // What waited is left to catching up.
            return Lag::default();
        }
        batch.done(&inner.waiting, &board.positions())
    }

    /// Whether there is something to do at this time, and nobody does it.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.inner.lock().is_due(now_ms)
    }

    /// A delivery begins; it is the only one until the answer is dropped.
    pub(super) fn engage(self: &Arc<Self>) -> Engaged {
        self.inner.lock().is_delivering = true;
        Engaged(self.clone())
    }

    /// No attempt before this time (0: at once).
    pub(super) fn wait_until(&self, next_ms: u64) {
        let mut inner = self.inner.lock();
        inner.next_ms = next_ms;
        inner.is_unfinished |= next_ms > 0;
    }

    /// There was a sign of life: it is tried at once, and its attempt does not wait for those of the dead.
    pub(super) fn revive(&self) {
        let mut inner = self.inner.lock();
        inner.next_ms = 0;
        inner.signs.freshen();
        drop(inner);
        self.news.notify_one();
        self.revival.notify_one();
    }

    /// Whether there was a sign of life since the last attempt began.
    pub(super) fn is_revived(&self) -> bool {
        self.inner.lock().signs.is_fresh()
    }

    /// An attempt begins: whether it is made because of a sign of life.
    pub(super) fn take_revival(&self) -> bool {
        self.inner.lock().signs.take()
    }

    /// Waits for a sign of life, of which the attempt that waits is made. One at a time may wait.
    pub(super) async fn revived(&self) {
        while !self.take_revival() {
            self.revival.notified().await;
        }
    }

    /// It has taken something.
    pub(super) fn took(&self) {
        let mut inner = self.inner.lock();
        inner.next_ms = 0;
        inner.signs = Signs::default();
        inner.refusals = Refusals::default();
    }

    /// It did not take a transaction.
    pub(super) fn refused(&self, (transaction_id, now_ms): (&str, u64), error: &PeerError) {
        let mut inner = self.inner.lock();
        inner.refusals.note((transaction_id, now_ms), error);
    }

    /// Whether it has refused a transaction so often that something in it must be what it does not take.
    pub(super) fn refuses(&self, (transaction_id, now_ms): (&str, u64), for_ms: u64) -> bool {
        let inner = self.inner.lock();
        inner.refusals.are_lasting((transaction_id, now_ms), for_ms)
    }

    /// It is owed something.
    pub(super) fn owe(&self) {
        self.inner.lock().owes = true;
        self.news.notify_one();
    }

    /// Whether it is owed something of which its delivery has not heard, which it does now.
    pub(super) fn take_owes(&self) -> bool {
        std::mem::take(&mut self.inner.lock().owes)
    }

    /// All business is finished but for what waits here.
    pub(super) fn finished(&self) {
        self.inner.lock().is_unfinished = false;
    }

    /// From where on it is behind, when that has to be noted.
    pub(super) fn to_note(&self) -> Option<Lag> {
        let inner = self.inner.lock();
        let behind = inner.behind.as_ref()?;
        (!behind.is_noted).then(|| behind.from.clone())
    }

    /// Whether anything durable waits.
    pub(super) fn holds_back(&self) -> bool {
        let inner = self.inner.lock();
        inner.waiting.places().next().is_some()
    }

    /// That it is behind is in the log.
    pub(super) fn noted(&self) {
        let mut inner = self.inner.lock();
        inner.drop_waiting();
        match &mut inner.behind {
            Some(behind) => behind.is_noted = true,
            None => {
                inner.behind = Some(Behind {
                    from: Lag::default(),
                    is_noted: true,
                });
            }
        }
    }

    /// Falls behind from here on, even if nothing waits: what comes is not kept until it lives again.
    pub(super) fn fall_behind(&self, board: &OutboxBoard) -> Option<Lag> {
        let mut inner = self.inner.lock();
        if inner.behind.is_none() {
            let from = board.floor(&inner.waiting);
            inner.fall_behind(from);
        }
        let behind = inner.behind.as_ref()?;
        (!behind.is_noted).then(|| behind.from.clone())
    }

    /// Whether it is behind.
    pub(super) fn is_behind(&self) -> bool {
        self.inner.lock().behind.is_some()
    }

    /// A round of catching up begins: how far it goes. `None` while what it missed is not wholly distributed: that takes a moment only.
    pub(super) fn begin_round(&self, board: &OutboxBoard) -> Option<Lag> {
        let inner = self.inner.lock();
        let target = board.positions();
        inner.has_missed_only(&target).then_some(target)
    }

    /// A round is over: whether nothing came meanwhile, and so it is not behind any more.
    pub(super) fn end_round(&self, target: &Lag) -> bool {
        let mut inner = self.inner.lock();
        if !inner.has_missed_only(target) {
            return false;
        }
        inner.missed = BTreeMap::new();
        inner.behind = None;
        true
    }
}
