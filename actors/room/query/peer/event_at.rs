//! The event closest to a time, for another server (server-server API, `GET /timestamp_to_event/{roomId}`).

use super::{
    super::{
        super::{error::RoomError, message::FoundEvent},
        View,
        event_at::{PASSED_MAX, Time, scroll_from, sent_ms},
    },
    sight::PeerSight,
};

/// Answers the first event that the server may see at or after a time, or the last at or before it.
pub(super) async fn event_at(
    view: &mut View,
    sight: &mut PeerSight,
    time: Time,
) -> Result<FoundEvent, RoomError> {
    let mut scroll = scroll_from(&view.history, time).await?;
    let mut passed = 0;
    while !scroll.is_done() && passed < PASSED_MAX {
        for event in scroll.next(&view.history).await? {
            passed += 1;
            if time.fits(&event) && sight.sees(&mut view.history, &event).await? {
                return Ok(FoundEvent {
                    event_id: event.pdu.event_id.clone(),
                    sent_ms: sent_ms(&event),
                });
            }
        }
    }
    Err(RoomError::NotFound)
}
