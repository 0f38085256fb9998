//! Unread counts read from the room, when they cannot be told from the news.

use std::sync::Arc;

use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedRoomId, RoomId};

use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        event::RoomEvent,
        message::{OwnReceipt, PushFacts},
    },
    user::feed::{
        surroundings::Sources,
        unread::{
            Judge, ReadMarks, Tally,
            related::{self, Related},
        },
    },
};

/// So many events one question to the room brings.
const PAGE_EVENTS: usize = 250;

/// So many events of a room are read for one answer; the next one goes on.
const EVENTS_MAX: usize = 1_000;

/// Where a reading begins and ends.
pub(crate) struct Span<'a> {
    /// The stay began with the record of this sequence.
    pub(crate) stay: Sequence,
    /// What was read before.
    pub(crate) partial: Option<&'a Arc<Tally>>,
    /// Up to here.
    pub(crate) until: Position,
}

/// Reads unread events of a room; tells too whether it came to the end.
pub(crate) async fn read(
    sources: &dyn Sources,
    judge: &Judge,
    room_id: &OwnedRoomId,
    span: Span<'_>,
) -> Result<(Tally, bool), RoomError> {
    let facts = Arc::new(facts(sources, judge, room_id).await?);
    let marks = marks(sources, judge, room_id, span.stay).await?;
    let mut tally = Tally::begin(judge, facts, marks, span.partial);
    let mut last = tally.read_until();
    let mut is_complete = false;
    for _ in 0..EVENTS_MAX / PAGE_EVENTS {
        let mut page = live_after(sources, room_id, last).await?;
        is_complete = page.len() < PAGE_EVENTS;
        last = page.last().map_or(last, |event| event.sequence);
        // The room may have gone on: what came after this answer's interval comes as news.
        page.retain(|event| event.position() != 0 && event.position() <= span.until);
        is_complete |= page.len() < PAGE_EVENTS;
        let related = related_to(sources, judge, room_id, &page).await?;
        tally.read(judge, room_id, &page, &related);
        if is_complete {
            break;
        }
    }
    Ok((tally, is_complete))
}

pub(crate) async fn facts(
    sources: &dyn Sources,
    judge: &Judge,
    room_id: &RoomId,
) -> Result<PushFacts, RoomError> {
    let query = RoomQuery::PushFacts {
        user_id: judge.user_id.clone(),
    };
    match sources.ask_room(room_id, query).await? {
        RoomAnswer::PushFacts(facts) => Ok(*facts),
        _ => Err(unexpected()),
    }
}

async fn marks(
    sources: &dyn Sources,
    judge: &Judge,
    room_id: &RoomId,
    stay: Sequence,
) -> Result<ReadMarks, RoomError> {
    let query = RoomQuery::OwnReceipts {
        user_id: judge.user_id.clone(),
    };
    let RoomAnswer::Receipts(receipts) = sources.ask_room(room_id, query).await? else {
        return Err(unexpected());
    };
    Ok(marks_of(receipts, stay))
}

/// What receipts say of what was read in a stay.
pub(crate) fn marks_of(receipts: Vec<OwnReceipt>, stay: Sequence) -> ReadMarks {
    let mut marks = ReadMarks {
        all: stay,
        ..ReadMarks::default()
    };
    for receipt in receipts {
        let Some(sequence) = receipt.sequence else {
            continue;
        };
        let mark = match receipt.thread_id {
            None => &mut marks.all,
            Some(thread) => marks.threads.entry(thread).or_default(),
        };
        *mark = sequence.max(*mark);
    }
    marks
}

async fn live_after(
    sources: &dyn Sources,
    room_id: &RoomId,
    sequence: Sequence,
) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
    let query = RoomQuery::LiveAfter {
        sequence,
        limit: PAGE_EVENTS,
    };
    match sources.ask_room(room_id, query).await? {
        RoomAnswer::Live(events) => Ok(events),
        _ => Err(unexpected()),
    }
}

/// What push rules look at besides these events.
pub(crate) async fn related_to(
    sources: &dyn Sources,
    judge: &Judge,
    room_id: &RoomId,
    events: &[Arc<RoomEvent>],
) -> Result<Related, RoomError> {
    let Some(query) = related::question(judge, events.iter()) else {
        return Ok(Related::default());
    };
    match sources.ask_room(room_id, query).await? {
        RoomAnswer::Live(related) => Ok(Related::new(&related)),
        _ => Err(unexpected()),
    }
}

/// A room that answers another question than it was asked is a fault of the program, not of the data.
pub(crate) fn unexpected() -> RoomError {
    crate::kernel::Unavailable::Stopped.into()
}
