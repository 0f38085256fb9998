//! The event closest to a time, for another server (server-server API, `GET /timestamp_to_event/{roomId}`).

use super::{
    super::{
        super::{error::RoomError, message::FoundEvent},
        View,
        event_at::{PASSED_MAX, first_from, sent_ms},
        scroll::Scroll,
    },
    sight::PeerSight,
};

/// Answers the first event that the server may see at or after a time, or the last at or before it.
pub(super) async fn event_at(
    view: &mut View,
    sight: &mut PeerSight,
    (ts_ms, backwards): (u64, bool),
) -> Result<FoundEvent, RoomError> {
    let first = first_from(&view.history, ts_ms, backwards).await?;
    let mut scroll = if backwards {
        Scroll::backwards(1, first - 1)
    } else {
        Scroll::forwards(first, view.history.last)
    };
    let mut passed = 0;
    while !scroll.is_done() && passed < PASSED_MAX {
        for event in scroll.next(&view.history).await? {
            passed += 1;
            let fits = if backwards {
                sent_ms(&event) <= ts_ms
            } else {
                sent_ms(&event) >= ts_ms
            };
            if fits && sight.sees(&mut view.history, &event).await? {
                return Ok(FoundEvent {
                    event_id: event.pdu.event_id.clone(),
                    sent_ms: sent_ms(&event),
                });
            }
        }
    }
    Err(RoomError::NotFound)
}
