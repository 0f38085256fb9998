//! Where things stand in a thread, for subscriptions to it (MSC4306).

use ruma::{EventId, OwnedEventId};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::{Reader, ThreadPlace},
    },
    View,
    event::find_visible,
};

#[derive(Deserialize)]
struct Relation {
    #[serde(rename = "m.relates_to")]
    relates_to: Option<RelatesTo>,
}

#[derive(Deserialize)]
struct RelatesTo {
    rel_type: Option<String>,
    event_id: Option<OwnedEventId>,
}

/// Answers where an event stands; a thread whose root the reader may not see does not exist.
pub(super) async fn thread_place(
    view: &mut View,
    reader: &Reader,
    (root, cause): (&EventId, Option<&EventId>),
) -> Result<ThreadPlace, RoomError> {
    let (mut sight, _) = view.sight(reader).await?;
    let everybody = Reader {
        ignored: Vec::new(),
        ..reader.clone()
    };
    find_visible(view, &mut sight, &everybody, root).await?;
    let cause = match cause {
        Some(cause) => match find_visible(view, &mut sight, &everybody, cause).await {
            Ok(shown) => Some(shown.event).filter(|event| is_in_thread(event, root)),
            Err(RoomError::NotFound) => None,
            Err(error) => return Err(error),
        },
        None => None,
    };
    Ok(ThreadPlace {
        newest: view.history.last,
        cause: cause.map(|event| event.sequence),
    })
}

fn is_in_thread(event: &RoomEvent, root: &EventId) -> bool {
    let relation: Option<Relation> = event.pdu.content_as();
    let related = relation.and_then(|relation| relation.relates_to);
    related.is_some_and(|related| {
        related.rel_type.as_deref() == Some("m.thread")
            && related.event_id.is_some_and(|event_id| event_id == root)
    })
}
