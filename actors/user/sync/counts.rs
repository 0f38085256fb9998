//! Unread counts read from the room, when they cannot be told from the news.

use std::sync::Arc;

use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedRoomId, RoomId};

use crate::{
    room::{RoomAnswer, RoomError, RoomQuery, event::RoomEvent, message::PushFacts},
    user::feed::{
        surroundings::Sources,
        unread::{COUNTED_MAX, Judge, ReadMarks, Tally},
    },
};

/// So many events one question to the room brings.
const PAGE_EVENTS: usize = 250;

/// So many events are looked at at most.
const EVENTS_MAX: usize = COUNTED_MAX;

/// Reads the unread events of a room up to a position. The stay began with the record of this sequence.
pub(crate) async fn read(
    sources: &dyn Sources,
    judge: &Judge,
    room_id: &OwnedRoomId,
    (stay, until): (Sequence, Position),
) -> Result<Tally, RoomError> {
    let facts = Arc::new(facts(sources, judge, room_id).await?);
    let marks = marks(sources, judge, room_id, stay).await?;
    let mut events: Vec<Arc<RoomEvent>> = Vec::new();
    while events.len() < EVENTS_MAX {
        let last = events.last().map_or(marks.all, |event| event.sequence);
        let page = live_after(sources, room_id, last).await?;
        let is_end = page.len() < PAGE_EVENTS;
        events.extend(page);
        if is_end {
            break;
        }
    }
    // The room may have gone on: what came after this answer's interval comes as news.
    events.retain(|event| event.position() != 0 && event.position() <= until);
    Ok(Tally::read(facts, judge, (room_id, &marks), &events))
}

async fn facts(
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
    Ok(marks)
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

/// A room that answers another question than it was asked is a fault of the program, not of the data.
pub(crate) fn unexpected() -> RoomError {
    crate::kernel::Unavailable::Stopped.into()
}
