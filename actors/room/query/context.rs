//! An event and what surrounds it (client-server API, `GET /rooms/{roomId}/context/{eventId}`).

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::events::TimelineEventType;

use super::{
    super::{
        error::RoomError,
        message::{ContextPage, ContextQuery, Place},
        past::Past,
    },
    View,
    event::find_visible,
    filter::EventFilter,
    messages::members_at,
    scroll::Scroll,
    timeline::{Gather, Shown},
    visibility::Standing,
};

/// The most events around the one asked for.
const LIMIT_MAX: usize = 100;

/// Answers the surroundings.
pub(super) async fn context(
    view: &mut View,
    query: &ContextQuery,
) -> Result<ContextPage, RoomError> {
    let room = view.room().clone();
    let filter = EventFilter::parse(query.filter.as_deref(), &room.room_id)?;
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let middle = find_visible(view, &mut sight, &query.reader, &query.event_id).await?;
    let at = middle.event.sequence;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let limit = query.limit.min(LIMIT_MAX);
    let mut gather = Gather {
        sight: &mut sight,
        filter: &filter,
        ignored: &query.reader.ignored,
    };
    let past = room.past.clone();
    let is_past = past.contains(at);
    let back = match is_past {
        true => Scroll::backwards(1, 0).with_past(past.older_than(at)),
        false => Scroll::backwards(1, at - 1).with_past(past.all()),
    };
    let before = gather
        .pick(&mut view.history, back, limit / 2, false)
        .await?
        .shown;
    let on = match past.after(at) {
        Some(next) => Scroll::forwards(1, end).with_past(past.newer_from(next)),
        None if is_past => Scroll::forwards(1, end),
        None => Scroll::forwards(at + 1, end),
    };
    let after = gather
        .pick(&mut view.history, on, limit - limit / 2, false)
        .await?
        .shown;
    let state = state(view, &filter, [&before, &after], &middle).await?;
    let form = view.form(&room, Some(&query.reader));
    let history = &mut view.history;
    let event = history
        .write_bundled(&form, &mut sight, std::slice::from_ref(&middle))
        .await?
        .pop()
        .ok_or(RoomError::NotFound)?;
    Ok(ContextPage {
        start: just_before(&past, sequence_of(before.last(), at)),
        end: just_after(&past, sequence_of(after.last(), at)),
        event,
        events_before: history.write_bundled(&form, &mut sight, &before).await?,
        events_after: history.write_bundled(&form, &mut sight, &after).await?,
        state,
    })
}

fn sequence_of(shown: Option<&Shown>, otherwise: Sequence) -> Sequence {
    shown.map_or(otherwise, |shown| shown.event.sequence)
}

/// The place before a record.
fn just_before(past: &Past, sequence: Sequence) -> Place {
    match past.contains(sequence) {
        true => Place::Past(sequence),
        false => Place::Live(sequence - 1),
    }
}

/// The place behind a record.
fn just_after(past: &Past, sequence: Sequence) -> Place {
    match past.contains(sequence) {
        true => past.after(sequence).map_or(Place::Live(0), Place::Past),
        false => Place::Live(sequence),
    }
}

/// The state at the last event returned.
async fn state(
    view: &mut View,
    filter: &EventFilter,
    around: [&Vec<Shown>; 2],
    middle: &Shown,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let last = around[1].last().unwrap_or(middle);
    let moment = view.history.after_event(&last.event);
    let whole = view.history.state(moment).await?;
    let lazy = filter.lazy_load_members;
    let form = view.form(&room, None);
    let mut events: Vec<_> = whole
        .values()
        .filter(|event| !(lazy && event.pdu.event_type == TimelineEventType::RoomMember))
        .filter(|event| filter.passes(event))
        .map(|event| form.state(event))
        .collect();
    if lazy {
        let shown = around.into_iter().flatten().chain([middle]);
        let senders = shown.map(|shown| shown.event.pdu.sender.clone()).collect();
        events.extend(members_at(view, moment, senders).await?);
    }
    Ok(events)
}
