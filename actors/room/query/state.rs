//! The state as a reader may know it: in force for members, at their departure for former ones.

use bytes::Bytes;

use super::{
    super::{
        error::RoomError,
        message::{Reader, TimelinePoint},
        state::StateKey,
    },
    View,
    past::Moment,
    visibility::Standing,
};

/// The moment whose state somebody may know, or an earlier one.
pub(super) async fn moment_of(
    view: &mut View,
    standing: &Standing,
    at: Option<TimelinePoint>,
) -> Result<Moment, RoomError> {
    let departure = match standing {
        Standing::Departed(departure) => Some(departure),
        _ => None,
    };
    let at = match at {
        Some(point) => Some(view.history.resolve(point).await?),
        None => None,
    };
    match (at, departure) {
        (Some(sequence), Some(departure)) if sequence >= departure.sequence => {
            Ok(view.history.after_event(departure))
        }
        (Some(sequence), _) => view.history.after_record(sequence).await,
        (None, Some(departure)) => Ok(view.history.after_event(departure)),
        (None, None) => Ok(Moment::Now),
    }
}

/// Answers the whole state.
pub(super) async fn state(view: &mut View, reader: &Reader) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let (_, standing) = view.sight(reader).await?;
    let moment = moment_of(view, &standing, None).await?;
    let state = view.history.state(moment).await?;
    let form = view.form(&room, Some(reader));
    Ok(state.values().map(|event| form.state(event)).collect())
}

/// Answers one state event, or its content.
pub(super) async fn state_event(
    view: &mut View,
    reader: &Reader,
    key: &StateKey,
    content_only: bool,
) -> Result<Bytes, RoomError> {
    let room = view.room().clone();
    let (_, standing) = view.sight(reader).await?;
    let moment = moment_of(view, &standing, None).await?;
    let value = view.history.value(moment, key).await?;
    let event = value.ok_or(RoomError::NotFound)?;
    Ok(if content_only {
        event.pdu.content_bytes()
    } else {
        view.form(&room, Some(reader)).state(&event)
    })
}
