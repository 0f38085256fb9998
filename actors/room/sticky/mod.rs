//! Events that stick to a room for a while: who comes in, or has missed some, is told of them whatever the timeline shows (MSC4354).
//!
//! Which these are follows from the room's records; when one is over is a matter of the clock at the time of the answer. An event that failed only against
//! the state in force is looked at again whenever that changes, and told from then on.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::OrdMap;
use playhouse_schema::{
    address::Sequence,
    record::room::{Placement, StateId, Verdict},
};
use serde::Deserialize;

use super::{Room, event::RoomEvent, receive::verdict};

/// An event sticks so long at most.
const DURATION_MAX_MS: u64 = 3_600_000;

/// So many are remembered in a room, and so many that are not told yet: anybody may send them.
const EVENTS_MAX: usize = 500;

/// What the reasons begin with for which a policy server keeps events out: no change of the state lets these in.
const REFUSED: &str = "not recommended: ";

/// The reason for a verdict on an event that the room's policy server does not recommend.
pub(super) fn refused(reason: &str) -> String {
    format!("{REFUSED}{reason}")
}

/// A duration within its bound.
pub(super) fn bounded(duration_ms: u64) -> u64 {
    duration_ms.min(DURATION_MAX_MS)
}

/// The duration that an event names; `None` when it makes no sense.
pub(super) fn read(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Sticky {
        duration_ms: u64,
    }
    let sticky: Sticky = serde_json::from_str(text).ok()?;
    Some(sticky.duration_ms)
}

impl RoomEvent {
    /// How long it sticks from now on; `None` when it does not, or no longer.
    pub(crate) fn sticky_ttl_ms(&self, now_ms: u64) -> Option<u64> {
        let end_ms = self.sticky_end_ms(now_ms)?;
        end_ms.checked_sub(now_ms).filter(|left_ms| *left_ms > 0)
    }

    /// When it is over; `None` when it never stuck.
    fn sticky_end_ms(&self, now_ms: u64) -> Option<u64> {
        let duration_ms = bounded(self.pdu.sticky_ms?);
        // A clock that goes before gives no more time.
        let came_ms = match self.recorded_ms() {
            0 => now_ms,
            recorded_ms => recorded_ms,
        };
        let start_ms = u64::from(self.pdu.origin_server_ts.0).min(came_ms);
        Some(start_ms.saturating_add(duration_ms))
    }
}

/// The newest events that stick to a room, by their records; some may be over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sticky {
    /// With the record from which on each is told: its own, or the one that made it count.
    told: OrdMap<Sequence, (Arc<RoomEvent>, Sequence)>,
    /// Those that failed against the state in force.
    doubtful: OrdMap<Sequence, Arc<RoomEvent>>,
    bytes: usize,
    /// What was found when all were looked at; `None` once one has come or gone since.
    settled: Option<Settled>,
}

/// Until when nothing changes.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// The first of them is over then.
    end_ms: u64,
    /// The doubtful ones failed against the state with this name.
    state: StateId,
}

impl Sticky {
    /// Takes in an event, if it is one that sticks.
    pub(super) fn take_in(&mut self, event: &Arc<RoomEvent>) {
        if event.pdu.sticky_ms.is_none() || event.placement == Placement::Outlier {
            return;
        }
        match &event.verdict {
            Verdict::Accepted => self.tell(event.clone(), event.sequence),
            Verdict::SoftFailed(reason) if !reason.starts_with(REFUSED) => {
                self.doubt(event.clone());
            }
            _ => {}
        }
    }

    /// Takes back what a snapshot names.
    pub(super) fn put_back(&mut self, event: Arc<RoomEvent>, from: Sequence) {
        if event.pdu.sticky_ms.is_none() {
            return;
        }
        match from {
            0 => self.doubt(event),
            from => self.tell(event, from),
        }
    }

    fn tell(&mut self, event: Arc<RoomEvent>, from: Sequence) {
        self.forget(event.sequence);
        self.bytes += event.weight_bytes();
        self.told.insert(event.sequence, (event, from));
        let oldest = self.told.get_min().map(|(oldest, _)| *oldest);
        if let Some(oldest) = oldest.filter(|_| self.told.len() > EVENTS_MAX) {
            self.forget(oldest);
        }
    }

    fn doubt(&mut self, event: Arc<RoomEvent>) {
        self.forget(event.sequence);
        self.bytes += event.weight_bytes();
        self.doubtful.insert(event.sequence, event);
        let oldest = self.doubtful.get_min().map(|(oldest, _)| *oldest);
        if let Some(oldest) = oldest.filter(|_| self.doubtful.len() > EVENTS_MAX) {
            self.forget(oldest);
        }
    }

    /// The store put other bytes in the place of an event: one that was redacted sticks no more.
    pub(super) fn forget(&mut self, sequence: Sequence) {
        self.settled = None;
        let told = self.told.remove(&sequence).map(|(event, _)| event);
        let doubtful = self.doubtful.remove(&sequence);
        for event in told.into_iter().chain(doubtful) {
            self.bytes -= event.weight_bytes();
        }
    }

    /// Whether another look at all of them finds what the last one has found.
    fn is_settled(&self, now_ms: u64, state: StateId) -> bool {
        if self.told.is_empty() && self.doubtful.is_empty() {
            return true;
        }
        self.settled.is_some_and(|settled| {
            now_ms < settled.end_ms && (self.doubtful.is_empty() || settled.state == state)
        })
    }

    /// All were looked at, with this state in force.
    fn note_settled(&mut self, now_ms: u64, state: StateId) {
        let ends = self
            .events()
            .filter_map(|event| event.sticky_end_ms(now_ms));
        self.settled = ends.min().map(|end_ms| Settled { end_ms, state });
    }

    /// Lets go of what is over.
    fn let_go(&mut self, now_ms: u64) {
        let is_over = |event: &&Arc<RoomEvent>| event.sticky_ttl_ms(now_ms).is_none();
        let over: Vec<_> = self.events().filter(is_over).cloned().collect();
        for event in over {
            self.forget(event.sequence);
        }
    }

    fn events(&self) -> impl Iterator<Item = &Arc<RoomEvent>> {
        let told = self.told.values().map(|(event, _)| event);
        told.chain(self.doubtful.values())
    }

    /// What a snapshot names: the events, and from which record on they are told.
    pub(super) fn stored(&self) -> Vec<(Sequence, Sequence)> {
        let told = self.told.values();
        let told = told.map(|(event, from)| (event.sequence, *from));
        let doubtful = self.doubtful.keys().map(|sequence| (*sequence, 0));
        told.chain(doubtful).collect()
    }

    /// Events of which nobody has told when they were recorded.
    pub(super) fn undated(&self) -> Vec<Sequence> {
        let undated = self.events().filter(|event| event.recorded_ms() == 0);
        undated.map(|event| event.sequence).collect()
    }

    /// An event was recorded at this time.
    pub(super) fn date(&self, sequence: Sequence, at_ms: u64) {
        for event in self.events().filter(|event| event.sequence == sequence) {
            event.note_recorded(at_ms);
        }
    }

    /// Those that still stick, and are told from a record on after the first and up to the second.
    pub(super) fn lasting(
        &self,
        now_ms: u64,
        (after, until): (Sequence, Sequence),
    ) -> Vec<Arc<RoomEvent>> {
        let lasts = |(event, from): &&(Arc<RoomEvent>, Sequence)| {
            *from > after && *from <= until && event.sticky_ttl_ms(now_ms).is_some()
        };
        let lasting = self.told.values().filter(lasts);
        lasting.map(|(event, _)| event.clone()).collect()
    }

    /// Memory it takes, roughly.
    pub(super) fn weight_bytes(&self) -> usize {
        self.bytes
    }
}

impl Room {
    /// Records are durable: lets go of what is over, and looks again at what failed against the state in force.
    pub(super) fn settle_sticky(&mut self, now_ms: u64) {
        if self.sticky.is_settled(now_ms, self.current_id) {
            return;
        }
        for event in self.sticky.events() {
            event.note_recorded(now_ms);
        }
        self.sticky.let_go(now_ms);
        self.lift_doubts();
        // Without rules nothing is known of the doubtful ones.
        if self.rules.is_some() {
            self.sticky.note_settled(now_ms, self.current_id);
        }
    }

    /// Tells of the events from now on that the state in force allows.
    pub(super) fn lift_doubts(&mut self) {
        let (Some(rules), false) = (self.rules.clone(), self.sticky.doubtful.is_empty()) else {
            return;
        };
        let doubtful: Vec<_> = self.sticky.doubtful.values().cloned().collect();
        for event in doubtful {
            if verdict::by_state(&rules, &event.pdu, &self.current).is_ok() {
                self.sticky.tell(event, self.current_id);
            }
        }
    }
}
