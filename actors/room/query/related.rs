//! The events to which others relate, for the push rules that look at them (MSC3664).

use std::sync::Arc;

use ruma::OwnedEventId;

use super::{
    super::{error::RoomError, event::RoomEvent, message::Reader},
    View,
    event::find_visible,
    visibility::Sight,
};

/// So many events are looked for at once: those of a page of unread events, each of which relates to two at most.
const RELATED_MAX: usize = 500;

/// Those of some events that the reader may see: a rule of one's own must not tell what an event says that one may not read.
pub(super) async fn related(
    view: &mut View,
    reader: &Reader,
    event_ids: &[OwnedEventId],
) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
    let (mut sight, _) = Sight::new(&mut view.history, reader).await?;
    let mut related = Vec::new();
    for event_id in event_ids.iter().take(RELATED_MAX) {
        match find_visible(view, &mut sight, reader, event_id).await {
            Ok(shown) => related.push(shown.event),
            Err(RoomError::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(related)
}
