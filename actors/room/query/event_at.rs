//! The event closest to a time (client-server API, `GET /rooms/{roomId}/timestamp_to_event`).

use std::collections::VecDeque;

use playhouse_schema::address::Sequence;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::{EventAt, EventAtQuery, FoundEvent},
        past::Stretch,
    },
    View,
    filter::is_ignored,
    history::History,
    messages::lacks_past,
    scroll::Scroll,
    visibility::Sight,
};

/// So many events that the reader may not see are passed over.
pub(super) const PASSED_MAX: usize = 10_000;

/// A time, and the direction in which an event is looked for from there.
#[derive(Clone, Copy)]
pub(super) struct Time {
    /// Milliseconds since the Unix epoch.
    pub(super) ts_ms: u64,
    /// The last event until then instead of the first from then on.
    pub(super) backwards: bool,
}

impl Time {
    /// Whether an event lies in the direction that is looked in.
    pub(super) fn fits(self, event: &RoomEvent) -> bool {
        self.stands_after(sent_ms(event)) != self.backwards
    }

    /// Whether something stands behind the place from which is looked in either direction.
    fn stands_after(self, sent_ms: u64) -> bool {
        sent_ms > self.ts_ms || (sent_ms == self.ts_ms && !self.backwards)
    }
}

/// Answers the first event that the reader may see at or after a time, or the last at or before it; and whether one that other servers know may be closer.
///
/// Times are what senders say; they are taken to rise along the timeline, and where they do not, a near event is found.
pub(super) async fn event_at(view: &mut View, query: &EventAtQuery) -> Result<EventAt, RoomError> {
    let (mut sight, _) = view.sight(&query.reader).await?;
    let time = Time {
        ts_ms: query.ts_ms,
        backwards: query.backwards,
    };
    let found = first_seen(view, &mut sight, (query, time)).await?;
    let wants_past = lacks_past(view.room())
        && match time.backwards {
            true => found.is_none(),
            // What is known before the time is known to be followed by what was found.
            false => oldest_ms(&view.history)
                .await?
                .is_none_or(|oldest_ms| time.stands_after(oldest_ms)),
        };
    Ok(EventAt { found, wants_past })
}

async fn first_seen(
    view: &mut View,
    sight: &mut Sight,
    (query, time): (&EventAtQuery, Time),
) -> Result<Option<FoundEvent>, RoomError> {
    let mut scroll = scroll_from(&view.history, time).await?;
    let mut passed = 0;
    while !scroll.is_done() && passed < PASSED_MAX {
        for event in scroll.next(&view.history).await? {
            passed += 1;
            if time.fits(&event)
                && !is_ignored(&event, &query.reader.ignored)
                && sight.judge(&mut view.history, &event).await?.visible
            {
                return Ok(Some(FoundEvent {
                    event_id: event.pdu.event_id.clone(),
                    sent_ms: sent_ms(&event),
                }));
            }
        }
    }
    Ok(None)
}

pub(super) fn sent_ms(event: &RoomEvent) -> u64 {
    u64::from(event.pdu.origin_server_ts.0)
}

/// What lies in the direction of a time, from there on: of the timeline, and of the past that was fetched.
pub(super) async fn scroll_from(history: &History, time: Time) -> Result<Scroll, RoomError> {
    let past = past_from(history, time).await?;
    let first = first_in(history, Records::Live((1, history.last)), time).await?;
    Ok(if time.backwards {
        Scroll::backwards(1, first - 1).with_past(past)
    } else {
        // All that is live is later than any of the past.
        let first = if past.is_empty() { first } else { 1 };
        Scroll::forwards(first, history.last).with_past(past)
    })
}

/// Some records in the order of time.
#[derive(Clone, Copy)]
enum Records {
    /// Of the timeline.
    Live(Stretch),
    /// Of a stretch of the past.
    Past(Stretch),
}

impl Records {
    fn ends(self) -> Stretch {
        match self {
            Records::Live(ends) | Records::Past(ends) => ends,
        }
    }

    fn with_ends(self, ends: Stretch) -> Self {
        match self {
            Records::Live(_) => Records::Live(ends),
            Records::Past(_) => Records::Past(ends),
        }
    }

    fn scroll(self) -> Scroll {
        match self {
            Records::Live((low, high)) => Scroll::forwards(low, high),
            Records::Past(stretch) => Scroll::forwards(1, 0).with_past(VecDeque::from([stretch])),
        }
    }
}

/// The parts of the past that lie in the direction of a time, in the order in which one comes to them.
async fn past_from(history: &History, time: Time) -> Result<VecDeque<Stretch>, RoomError> {
    // Newest first.
    let all: Vec<Stretch> = history.room.past.all().into();
    let (mut low, mut high) = (0, all.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match next_event(history, Records::Past(all[middle])).await? {
            Some((_, sent)) if !time.stands_after(sent) => high = middle,
            _ => low = middle + 1,
        }
    }
    // All before this one are later than the time, all behind it earlier; this one begins earlier.
    let (later, rest) = all.split_at(low);
    let split = match rest.first() {
        Some((from, to)) => {
            let first = first_in(history, Records::Past((*from, *to)), time).await?;
            Some(((*from, first - 1), (first, *to)))
        }
        None => None,
    };
    let has_any = |(from, to): &Stretch| from <= to;
    Ok(if time.backwards {
        let part = split.map(|(earlier, _)| earlier).filter(has_any);
        let earlier = rest.iter().skip(1).copied();
        part.into_iter().chain(earlier).collect()
    } else {
        let part = split.map(|(_, later)| later).filter(has_any);
        let later = later.iter().rev().copied();
        part.into_iter().chain(later).collect()
    })
}

/// The first of some records behind a time; the one behind them all when there is none.
async fn first_in(history: &History, records: Records, time: Time) -> Result<Sequence, RoomError> {
    let (from, to) = records.ends();
    let (mut low, mut high) = (from, to + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match next_event(history, records.with_ends((middle, high - 1))).await? {
            Some((at, sent)) if !time.stands_after(sent) => low = at + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first event of some records: its number and its time.
async fn next_event(
    history: &History,
    records: Records,
) -> Result<Option<(Sequence, u64)>, RoomError> {
    let mut scroll = records.scroll();
    while !scroll.is_done() {
        if let Some(event) = scroll.next(history).await?.first() {
            return Ok(Some((event.sequence, sent_ms(event))));
        }
    }
    Ok(None)
}

/// When the oldest event that is known was sent.
async fn oldest_ms(history: &History) -> Result<Option<u64>, RoomError> {
    let past = history.room.past.all().into_iter().rev().collect();
    let mut scroll = Scroll::forwards(1, history.last).with_past(past);
    while !scroll.is_done() {
        if let Some(event) = scroll.next(history).await?.first() {
            return Ok(Some(sent_ms(event)));
        }
    }
    Ok(None)
}
