//! One event (client-server API, `GET /rooms/{roomId}/event/{eventId}`).

use bytes::Bytes;
use ruma::EventId;

use super::{
    super::{error::RoomError, message::Reader},
    View,
    filter::is_ignored,
    timeline::Shown,
    visibility::Sight,
};

/// Answers one event; what the reader may not see does not exist.
pub(super) async fn event(
    view: &mut View,
    reader: &Reader,
    event_id: &EventId,
) -> Result<Bytes, RoomError> {
    let room = view.room().clone();
    let (mut sight, _) = Sight::new(&mut view.history, reader).await?;
    // Whoever is ignored is left out of timelines and of what relates to an event; an event that is asked for by name is told.
    let everybody = Reader {
        ignored: Vec::new(),
        ..reader.clone()
    };
    let shown = find_visible(view, &mut sight, &everybody, event_id).await?;
    let form = view.form(&room, Some(reader));
    let history = &mut view.history;
    let mut written = history.write_bundled(&form, &mut sight, &[shown]).await?;
    written.pop().ok_or(RoomError::NotFound)
}

/// Finds an event that the reader may see.
pub(super) async fn find_visible(
    view: &mut View,
    sight: &mut Sight,
    reader: &Reader,
    event_id: &EventId,
) -> Result<Shown, RoomError> {
    let found = view.history.find(event_id).await?;
    let event = found
        .filter(|event| event.is_visible() && !is_ignored(event, &reader.ignored))
        .ok_or(RoomError::NotFound)?;
    let judgement = sight.judge(&mut view.history, &event).await?;
    if judgement.visible {
        Ok(Shown {
            event,
            membership: judgement.membership,
        })
    } else {
        Err(RoomError::NotFound)
    }
}
