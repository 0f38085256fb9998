//! Going through a room's timeline.

use std::{collections::VecDeque, sync::Arc};

use playhouse_schema::{
    address::Sequence,
    port::EntityRange,
    record::room::{Placement, Verdict},
};

use super::{
    super::{error::RoomError, event::RoomEvent, past::Stretch},
    history::{History, PAGE_RECORDS, is_in_timeline},
};
use crate::kernel::give_way;

/// Whether an event is one of the room's past, from before this server came in.
fn is_in_past(event: &RoomEvent) -> bool {
    event.is_visible() && event.placement == Placement::Backfilled
}

/// Goes through timeline events in one direction, from the window or page by page from the log; before them, or behind them when it goes back, through
/// those of the room's past.
pub(in crate::room) struct Scroll {
    low: Sequence,
    high: Sequence,
    backwards: bool,
    past: VecDeque<Stretch>,
    /// With redactions that have no effect here.
    is_for_servers: bool,
}

impl Scroll {
    /// From `high` down to `low`, both included.
    pub(in crate::room) fn backwards(low: Sequence, high: Sequence) -> Self {
        Self {
            low: low.max(1),
            high,
            backwards: true,
            past: VecDeque::new(),
            is_for_servers: false,
        }
    }

    /// From `low` up to `high`, both included.
    pub(in crate::room) fn forwards(low: Sequence, high: Sequence) -> Self {
        Self {
            low: low.max(1),
            high,
            backwards: false,
            past: VecDeque::new(),
            is_for_servers: false,
        }
    }

    /// With these stretches of the past, in the order in which it comes to them.
    pub(in crate::room) fn with_past(self, past: VecDeque<Stretch>) -> Self {
        Self { past, ..self }
    }

    /// With redactions that clients are not shown: other servers may know what they redact.
    pub(in crate::room) fn for_servers(self) -> Self {
        Self {
            is_for_servers: true,
            ..self
        }
    }

    fn wants(&self, event: &RoomEvent) -> bool {
        let is_hidden = || {
            event.placement == Placement::Live
                && matches!(event.verdict, Verdict::Held | Verdict::Powerless)
        };
        is_in_timeline(event) || self.is_for_servers && is_hidden()
    }

    /// Whether nothing is left.
    pub(in crate::room) fn is_done(&self) -> bool {
        self.low > self.high && self.past.is_empty()
    }

    /// The next events; may be empty although more is left, see [`Scroll::is_done`].
    pub(in crate::room) async fn next(
        &mut self,
        history: &History,
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        if self.is_done() {
            return Ok(Vec::new());
        }
        let in_past = !self.backwards || self.low > self.high;
        if in_past && let Some(stretch) = self.past.pop_front() {
            return self.next_of_past(history, stretch).await;
        }
        let window = history.window_start();
        let in_window = if self.backwards {
            self.high >= window
        } else {
            self.low >= window
        };
        if in_window {
            return Ok(self.next_of_window(history, window));
        }
        self.next_of_log(history, window).await
    }

    fn next_of_window(&mut self, history: &History, window: Sequence) -> Vec<Arc<RoomEvent>> {
        let recent = &history.room.recent;
        let low = self.low.max(window);
        let start = recent.partition_point(|event| event.sequence < low);
        let end = recent.partition_point(|event| event.sequence <= self.high);
        // Redactions without effect are among them.
        let events = recent.range(start..end.max(start));
        let events = events.filter(|event| self.wants(event)).cloned();
        let mut events: Vec<_> = events.collect();
        if self.backwards {
            self.high = low - 1;
            events.reverse();
        } else {
            self.low = self.high + 1;
        }
        events
    }

    async fn next_of_past(
        &mut self,
        history: &History,
        (low, high): Stretch,
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        let range = EntityRange {
            from: low,
            to: high,
            backwards: self.backwards,
            limit: PAGE_RECORDS,
        };
        let page = history.store.read_entity(&history.entity, range).await?;
        give_way().await;
        let last = page.last().map(|stored| stored.sequence);
        if page.len() >= PAGE_RECORDS
            && let Some(last) = last
        {
            let rest = match self.backwards {
                true => (low, last - 1),
                false => (last + 1, high),
            };
            if rest.0 <= rest.1 {
                self.past.push_front(rest);
            }
        }
        let mut events = Vec::with_capacity(page.len());
        for stored in &page {
            if let Some(event) = RoomEvent::from_stored(stored)?
                && is_in_past(&event)
            {
                events.push(event);
            }
        }
        Ok(events)
    }

    async fn next_of_log(
        &mut self,
        history: &History,
        window: Sequence,
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        let range = EntityRange {
            from: self.low,
            to: self.high.min(window - 1),
            backwards: self.backwards,
            limit: PAGE_RECORDS,
        };
        let page = history.store.read_entity(&history.entity, range).await?;
        // Behind a join may lie the records of tens of thousands of members, none of which is shown.
        give_way().await;
        let whole = page.len() < range.limit;
        let last = page.last().map(|stored| stored.sequence);
        if self.backwards {
            self.high = match last {
                Some(last) if !whole => last - 1,
                _ => self.low - 1,
            };
        } else {
            self.low = match last {
                Some(last) if !whole => last + 1,
                _ => range.to + 1,
            };
        }
        let mut events = Vec::with_capacity(page.len());
        for stored in &page {
            if let Some(event) = RoomEvent::from_stored(stored)?
                && self.wants(&event)
            {
                events.push(event);
            }
        }
        Ok(events)
    }
}
