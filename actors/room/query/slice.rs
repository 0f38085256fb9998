//! What a sync shows of a room: the half-open interval after `since` up to `until`.
//!
//! The common case, an interval that lies in the recent window, reads nothing but memory.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::{
    OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::{ReceiptsWanted, RoomFace, RoomSlice, RoomSummary, SliceQuery},
        state::{Room, membership_of},
    },
    View,
    client_form::Form,
    filter::{RoomFilter, is_ignored},
    receipts::{receipts_event, typing_event},
    scroll::Scroll,
    slice_state::{Interval, Needs, member_changes},
    summary::summary,
    timeline::{Gather, Gathered, Shown},
    visibility::{Sight, Standing, member_key},
    window::{event_ids, face},
};
use crate::kernel::give_way;

/// The length of a timeline when the filter does not say.
const TIMELINE_DEFAULT: usize = 10;

/// The longest timeline.
const TIMELINE_MAX: usize = 100;

/// So much state is written without letting others go on.
const WRITTEN_AT_ONCE: usize = 256;

/// What of the room the reader may get in this slice.
struct Scope {
    /// After this record.
    since: Sequence,
    /// Up to and including this one.
    end: Sequence,
    /// The reader is no member any more at the end.
    gone: bool,
}

/// Answers a slice.
pub(super) async fn slice(view: &mut View, query: &SliceQuery) -> Result<RoomSlice, RoomError> {
    let room = view.room().clone();
    let filter = match &query.window {
        Some(window) => RoomFilter::of_window(window),
        None => RoomFilter::parse(query.filter.as_deref(), &room.room_id)?,
    };
    let (mut sight, standing) = Sight::new(&mut view.history, &query.reader).await?;
    let scope = scope(view, query, &standing).await?;
    let gathered = timeline(view, query, &mut sight, (&filter, &scope)).await?;
    let limited = gathered.stopped_at.is_some();
    let mut shown = gathered.shown;
    shown.reverse();
    let first = shown.first();
    let start = first.map_or(scope.end, |shown| shown.event.sequence - 1);
    // Somebody who has left learns of a later ban, and somebody who declined of that, too.
    let last_word = last_word(view, query, &scope).await?;
    let prev_batch = prev_batch(last_word.as_ref(), &shown, start);
    shown.extend(last_word);
    let full = query.since.is_none() || query.full_state;
    let interval = Interval {
        // Who gets the whole state needs to know of changes only where the timeline does not show them.
        since: query.since.map_or(start, |_| scope.since),
        // A window may show again what the client has.
        start: start.max(scope.since),
        end: scope.end,
    };
    let changes = interval.changes(&mut view.history).await?;
    let summarised = !scope.gone && (full || changes.keys().any(|key| shows(query, &key.0)));
    let (summary, face) = looks(query, &room, summarised);
    let needs = Needs {
        filter: &filter.state,
        full,
        after: query.state_after || query.window.is_some(),
        window: query.window.as_deref(),
        shown: &shown,
        known: known_members(query, &filter),
        own: &query.reader.user_id,
        heroes: summary.as_ref().map_or(&[], |summary| &summary.heroes[..]),
    };
    let state = interval.state(&mut view.history, &changes, &needs).await?;
    let form = Form {
        now_ms: view.now_ms,
        room_id: None,
        reader: Some(&query.reader),
        format: query.format,
    };
    let since = query.since.map(|_| scope.since);
    // Who gets every event of the interval sees for itself what relates to what.
    let is_partial = limited || query.since.is_none() || is_expanded(query);
    let history = &mut view.history;
    let timeline = match is_partial {
        true => history.write_bundled(&form, &mut sight, &shown).await?,
        false => history.write_timeline(&form, &shown).await?,
    };
    let sticky = sticky(view, (query, &form), &mut sight, (full, &scope, &shown)).await?;
    let slice = RoomSlice {
        limited,
        sticky,
        prev_batch,
        sent_members: sent_members(state.iter().map(|event| &**event), &shown),
        state: written(&form, &state).await,
        timeline,
        summary,
        face,
        num_live: num_live(view, query, &shown).await?,
        encrypted: is_encrypted(&room),
        member_changes: member_changes(&mut view.history, &changes, since).await?,
        receipts: None,
        typing: None,
    };
    let about = (&filter, &scope, &shown[..]);
    Ok(with_ephemeral(slice, view, query, about))
}

/// Resolves the ends of the interval; a former member's ends with the departure, a stranger's is empty.
async fn scope(view: &View, query: &SliceQuery, standing: &Standing) -> Result<Scope, RoomError> {
    use super::super::message::TimelinePoint::Position;
    let end = view.history.resolve(Position(query.until)).await?;
    let since = match query.since {
        Some(since) => view.history.resolve(Position(since)).await?,
        None => 0,
    };
    let last = match standing {
        Standing::Joined => None,
        Standing::Departed(departure) if departure.sequence > end => None,
        Standing::Departed(departure) => Some(departure.sequence),
        Standing::Peeking | Standing::Stranger => Some(0),
    };
    Ok(Scope {
        since,
        end: last.unwrap_or(end),
        gone: last.is_some(),
    })
}

async fn timeline(
    view: &mut View,
    query: &SliceQuery,
    sight: &mut Sight,
    (filter, scope): (&RoomFilter, &Scope),
) -> Result<Gathered, RoomError> {
    let limit = filter.timeline.limit.unwrap_or(TIMELINE_DEFAULT);
    let low = if is_expanded(query) { 0 } else { scope.since };
    let scroll = Scroll::backwards(low + 1, scope.end);
    let mut gather = Gather {
        sight,
        filter: &filter.timeline,
        ignored: &query.reader.ignored,
    };
    gather
        .pick(&mut view.history, scroll, limit.min(TIMELINE_MAX), true)
        .await
}

/// What sticks to the room and is not told by the timeline: for who is in the room, whatever the history visibility and the filter of the timeline.
async fn sticky(
    view: &mut View,
    (query, form): (&SliceQuery, &Form<'_>),
    sight: &mut Sight,
    (full, scope, shown): (bool, &Scope, &[Shown]),
) -> Result<Vec<Bytes>, RoomError> {
    if scope.gone {
        return Ok(Vec::new());
    }
    let told: BTreeSet<_> = shown.iter().map(|shown| shown.event.sequence).collect();
    let is_anew = full
        || query
            .window
            .as_ref()
            .is_some_and(|window| window.sticky_anew);
    let after = if is_anew { 0 } else { scope.since };
    let lasting = view.room().sticky.lasting(view.now_ms, (after, scope.end));
    let mut sticky = Vec::new();
    for event in lasting {
        let is_untold = !told.contains(&event.sequence);
        if is_untold
            && !is_ignored(&event, &query.reader.ignored)
            && view.history.may_be_shown(&event)
        {
            let judgement = sight.judge(&mut view.history, &event).await?;
            sticky.push(form.timeline(&event, &judgement.membership, None));
        }
    }
    Ok(sticky)
}

/// Writes state out, in which tens of thousands of members may be: others have their turn in between.
async fn written(form: &Form<'_>, state: &[Arc<RoomEvent>]) -> Vec<Bytes> {
    let mut written = Vec::with_capacity(state.len());
    for some in state.chunks(WRITTEN_AT_ONCE) {
        if !written.is_empty() {
            give_way().await;
        }
        written.extend(some.iter().map(|event| form.state(event)));
    }
    written
}

/// Where a client goes on backwards from what it is shown.
fn prev_batch(last_word: Option<&Shown>, shown: &[Shown], start: Sequence) -> Sequence {
    match last_word {
        Some(word) if shown.is_empty() => word.event.sequence - 1,
        _ => start,
    }
}

/// For somebody who is gone: the own member event of the interval that lies behind what the reader may see of the room.
async fn last_word(
    view: &mut View,
    query: &SliceQuery,
    scope: &Scope,
) -> Result<Option<Shown>, RoomError> {
    use super::super::message::TimelinePoint::Position;
    if !scope.gone {
        return Ok(None);
    }
    let until = view.history.resolve(Position(query.until)).await?;
    let own = view.room().current.get(&member_key(&query.reader.user_id));
    let own = own.cloned();
    let Some(event) = view.history.rewind(own, until).await? else {
        return Ok(None);
    };
    let membership = membership_of(&event).unwrap_or(MembershipState::Leave);
    let told = event.sequence > scope.since
        && event.sequence > scope.end
        && matches!(membership, MembershipState::Leave | MembershipState::Ban);
    Ok(told.then_some(Shown { event, membership }))
}

/// How the room is called, in the form that is asked for.
fn looks(query: &SliceQuery, room: &Room, wanted: bool) -> (Option<RoomSummary>, Option<RoomFace>) {
    let reader = &query.reader.user_id;
    if !wanted {
        (None, None)
    } else if query.window.is_some() {
        (None, Some(face(room, reader)))
    } else {
        (Some(summary(room, reader)), None)
    }
}

/// Whether the timeline goes back beyond what the client has.
fn is_expanded(query: &SliceQuery) -> bool {
    query.window.as_ref().is_some_and(|window| window.expanded)
}

/// How many events at the timeline's end have only just happened.
async fn num_live(view: &View, query: &SliceQuery, shown: &[Shown]) -> Result<usize, RoomError> {
    use super::super::message::TimelinePoint::Position;
    let window = query.window.as_ref();
    let Some(after) = window.and_then(|window| window.live_after) else {
        return Ok(0);
    };
    let after = view.history.resolve(Position(after)).await?;
    let is_live = |shown: &&Shown| shown.event.sequence > after;
    Ok(shown.iter().rev().take_while(is_live).count())
}

fn receipts_of_window(
    view: &View,
    query: &SliceQuery,
    wanted: ReceiptsWanted,
    shown: &[Shown],
) -> Option<Bytes> {
    let (room, reader) = (view.room(), &query.reader);
    match wanted {
        ReceiptsWanted::None => None,
        ReceiptsWanted::After(after) => receipts_event(room, reader, (after, query.until), None),
        ReceiptsWanted::OfTimeline => {
            receipts_event(room, reader, (0, query.until), Some(&event_ids(shown)))
        }
    }
}

/// Whether a change of state of a type changes how the room looks.
fn shows(query: &SliceQuery, event_type: &TimelineEventType) -> bool {
    let has_avatar = query.window.is_some() && *event_type == TimelineEventType::RoomAvatar;
    has_avatar || names_room(event_type)
}

/// Whether state of a type decides how a room is called.
fn names_room(event_type: &TimelineEventType) -> bool {
    matches!(
        event_type,
        TimelineEventType::RoomMember
            | TimelineEventType::RoomName
            | TimelineEventType::RoomCanonicalAlias
    )
}

fn known_members(query: &SliceQuery, filter: &RoomFilter) -> BTreeSet<OwnedUserId> {
    if filter.state.lazy_load_members && !filter.state.include_redundant_members {
        query.known_members.iter().cloned().collect()
    } else {
        BTreeSet::new()
    }
}

fn sent_members<'e>(
    state: impl Iterator<Item = &'e RoomEvent>,
    shown: &'e [Shown],
) -> Vec<OwnedUserId> {
    state
        .chain(shown.iter().map(|shown| &*shown.event))
        .filter(|event| event.pdu.event_type == TimelineEventType::RoomMember)
        .filter_map(|event| UserId::parse(event.pdu.state_key.as_deref()?).ok())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

pub(super) fn is_encrypted(room: &Room) -> bool {
    room.current
        .contains_key(&(TimelineEventType::RoomEncryption, String::new()))
}

/// Adds receipts and typing; who is gone gets none.
fn with_ephemeral(
    mut slice: RoomSlice,
    view: &View,
    query: &SliceQuery,
    (filter, scope, shown): (&RoomFilter, &Scope, &[Shown]),
) -> RoomSlice {
    if scope.gone {
        return slice;
    }
    if let Some(window) = &query.window {
        slice.receipts = receipts_of_window(view, query, window.receipts, shown);
    } else if filter.ephemeral.passes_type(&"m.receipt".into()) {
        let span = (query.since.unwrap_or(0), query.until);
        slice.receipts = receipts_event(view.room(), &query.reader, span, None);
    }
    if query.typing && filter.ephemeral.passes_type(&"m.typing".into()) {
        slice.typing = Some(typing_event(&view.typing, &query.reader));
    }
    slice
}
