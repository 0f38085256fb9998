//! The event closest to a time (client-server API, `GET /rooms/{roomId}/timestamp_to_event`).

use playhouse_schema::address::Sequence;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::{EventAtQuery, FoundEvent},
    },
    View,
    filter::is_ignored,
    history::History,
    scroll::Scroll,
};

/// So many events that the reader may not see are passed over.
pub(super) const PASSED_MAX: usize = 10_000;

/// Answers the first event that the reader may see at or after a time, or the last at or before it.
///
/// Times are what senders say; they are taken to rise along the timeline, and where they do not, a near event is found.
pub(super) async fn event_at(
    view: &mut View,
    query: &EventAtQuery,
) -> Result<FoundEvent, RoomError> {
    let (mut sight, _) = view.sight(&query.reader).await?;
    let first = first_from(&view.history, query.ts_ms, query.backwards).await?;
    let mut scroll = if query.backwards {
        Scroll::backwards(1, first - 1)
    } else {
        Scroll::forwards(first, view.history.last)
    };
    let mut passed = 0;
    while !scroll.is_done() && passed < PASSED_MAX {
        for event in scroll.next(&view.history).await? {
            passed += 1;
            let fits = if query.backwards {
                sent_ms(&event) <= query.ts_ms
            } else {
                sent_ms(&event) >= query.ts_ms
            };
            if fits
                && !is_ignored(&event, &query.reader.ignored)
                && sight.judge(&mut view.history, &event).await?.visible
            {
                return Ok(FoundEvent {
                    event_id: event.pdu.event_id.clone(),
                    sent_ms: sent_ms(&event),
                });
            }
        }
    }
    Err(RoomError::NotFound)
}

pub(super) fn sent_ms(event: &RoomEvent) -> u64 {
    u64::from(event.pdu.origin_server_ts.0)
}

/// The first record from which on events were sent at a time or after it; with `after` only after it.
pub(super) async fn first_from(
    history: &History,
    ts_ms: u64,
    after: bool,
) -> Result<Sequence, RoomError> {
    let (mut low, mut high) = (1, history.last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match next_event(history, (middle, high - 1)).await? {
            Some((at, sent)) if sent < ts_ms || (after && sent == ts_ms) => low = at + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first timeline event of a range: its number and its time.
async fn next_event(
    history: &History,
    (from, to): (Sequence, Sequence),
) -> Result<Option<(Sequence, u64)>, RoomError> {
    let mut scroll = Scroll::forwards(from, to);
    while !scroll.is_done() {
        if let Some(event) = scroll.next(history).await?.first() {
            return Ok(Some((event.sequence, sent_ms(event))));
        }
    }
    Ok(None)
}
