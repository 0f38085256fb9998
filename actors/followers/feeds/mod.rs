//! Feeds: carries what is committed to the awake users it concerns.
//!
//! Two tasks read the tails of the rooms and of the users family. Each record of a room is decoded once, into an `Arc` that all followers share; records
//! of rooms that nobody awake follows are only looked at for member events. Owns no durable position: a user that was asleep reads the store when it
//! wakes ([`crate::user::feed::surroundings`] tells how the two meet).

pub mod abroad;
pub mod board;
pub mod sources;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use playhouse_schema::{
    address::{Family, Shard},
    models::device_lists,
    port::{LogStore, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, ReceiptMoved, RoomRecord, Verdict, kind},
    },
};
use ruma::{EventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::TimelineEventType};

use self::board::FeedBoard;
use super::task::Running;
use crate::{
    room::{event::RoomEvent, state::membership_of, told},
    user::{
        feed::surroundings::{Board as _, Sources},
        message::{NewsKind, ReceiptNews, RoomNews},
        sync::token::Vector,
    },
    writers::Tail,
};

/// The newest positions of a family: where a board begins.
pub async fn heads(store: &dyn LogStore, family: Family) -> Result<Vector, StoreError> {
    let heads = store.heads(family).await?;
    Ok(heads
        .into_iter()
        .map(|head| (head.shard.number, head.position))
        .collect())
}

/// Makes the board of a node, at the newest positions of the log. The observers are told of everybody's presence.
pub async fn open_board(
    store: &dyn LogStore,
    observers: &BTreeSet<OwnedUserId>,
) -> Result<Arc<FeedBoard>, StoreError> {
    let rooms = heads(store, Family::Rooms).await?;
    let devices = heads(store, Family::Users).await?;
    Ok(FeedBoard::new(
        store.layout(),
        (&rooms, &devices),
        observers,
    ))
}

/// Announces room records from where the board stands.
pub fn follow_rooms(board: Arc<FeedBoard>, tail: &Arc<Tail>) -> Running {
    let from: Vec<_> = board.room_positions().into_iter().collect();
    let mut reader = tail.follow(Family::Rooms, &from);
    Running::start(move |mut stop| {
        Box::pin(async move {
            loop {
                let records = tokio::select! {
                    biased;
                    () = stop.told() => return,
                    records = reader.next() => records,
                };
                for record in &records {
                    announce(&board, record);
                }
                metrics::counter!("playhouse_follower_records_total", "follower" => "feeds")
                    .increment(records.len() as u64);
            }
        })
    })
}

/// Announces device list changes from where the board stands.
pub fn follow_devices(
    board: Arc<FeedBoard>,
    tail: &Arc<Tail>,
    sources: Arc<dyn Sources>,
) -> Running {
    let from: Vec<_> = board.device_positions().into_iter().collect();
    let mut reader = tail.follow(Family::Users, &from);
    Running::start(move |mut stop| {
        Box::pin(async move {
            loop {
                let records = tokio::select! {
                    biased;
                    () = stop.told() => return,
                    records = reader.next() => records,
                };
                for record in &records {
                    announce_devices(&board, &*sources, record).await;
                    board.devices_announced(record.shard.number, record.position);
                }
            }
        })
    })
}

/// Announces one record of the rooms family.
pub(crate) fn announce(board: &FeedBoard, record: &StoredRecord) {
    match news(board, record) {
        Ok(Some(news)) => board.announce(&Arc::new(news)),
        Ok(None) => {}
        Err(error) => {
            metrics::counter!("playhouse_parked_total", "reader" => "feeds").increment(1);
            tracing::error!(shard = %record.shard, position = record.position, %error, "record parked");
        }
    }
    board.announced(record.shard, record.position);
}

async fn announce_devices(board: &FeedBoard, sources: &dyn Sources, record: &StoredRecord) {
    match device_lists::changed_by(record) {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::error!(shard = %record.shard, position = record.position, %error, "record parked");
            return;
        }
    }
    let Ok(user_id) = UserId::parse(record.entity.name()) else {
        return;
    };
    // Who has heard of a common room by now must hear of this change: hence the rooms as of what is announced now, or later.
    let rooms = sources.joined_rooms(&user_id, board.room_positions()).await;
    let rooms = rooms
        .inspect_err(|error| {
            tracing::warn!(%user_id, %error, "telling everybody of a device list change");
        })
        .ok();
    let place: (Shard, _) = (record.shard, record.position);
    board.announce_devices(&user_id, place, rooms.as_deref());
}

/// The news in a record; `None` when it is none, or nobody's.
fn news(board: &FeedBoard, record: &StoredRecord) -> Result<Option<RoomNews>, StoreError> {
    if record.entity.prefix() != "room" {
        return Ok(None);
    }
    let Ok(room_id) = RoomId::parse(record.entity.name()) else {
        return Ok(None);
    };
    let is_followed = board.is_followed(record.shard.number, &room_id);
    let may_be_member = record.kind == kind::MEMBERSHIP_TOLD
        || record.kind == kind::EVENT && mentions_membership(&record.payload);
    if !is_followed && !may_be_member {
        return Ok(None);
    }
    read_news(room_id, record)
}

/// The news in a record of a room; `None` when it is none.
pub(crate) fn read_news(
    room_id: OwnedRoomId,
    record: &StoredRecord,
) -> Result<Option<RoomNews>, StoreError> {
    let kind = match RoomRecord::decode(record)? {
        Some(RoomRecord::Event(event)) => {
            if event.verdict != Verdict::Accepted || event.placement != Placement::Live {
                return Ok(None);
            }
            let event = RoomEvent::from_record(record.sequence, record.position, &event)
                .ok_or_else(|| {
                    StoreError::Damaged(format!("event {} is no PDU", event.event_id))
                })?;
            event.note_recorded(record.at_ms);
            event_news(event)
        }
        Some(RoomRecord::MembershipTold(told)) => {
            match told::event_of((record.sequence, record.position), &told) {
                Some(event) => event_news(event),
                None => return Ok(None),
            }
        }
        Some(RoomRecord::ReceiptMoved(moved)) => match receipt_news(moved) {
            Some(receipt) => NewsKind::Receipt(receipt),
            None => return Ok(None),
        },
        Some(RoomRecord::StateSet(set)) if set.current => NewsKind::StateSet,
        Some(RoomRecord::StateCompleted(_)) => NewsKind::StateSet,
        Some(_) | None => return Ok(None),
    };
    Ok(Some(make(room_id, record, kind)))
}

fn make(room_id: OwnedRoomId, record: &StoredRecord, kind: NewsKind) -> RoomNews {
    let place = (record.shard, record.position);
    RoomNews::new(room_id, place, record.sequence, kind)
}

/// Rather yes than no: the type stands in the PDU's bytes as it is.
fn mentions_membership(payload: &[u8]) -> bool {
    let wanted = b"m.room.member";
    payload.windows(wanted.len()).any(|window| window == wanted)
}

fn event_news(event: RoomEvent) -> NewsKind {
    let membership = (event.pdu.event_type == TimelineEventType::RoomMember)
        .then(|| {
            let target = UserId::parse(event.pdu.state_key.as_deref()?).ok()?;
            Some((target, membership_of(&event)?))
        })
        .flatten();
    NewsKind::Event {
        event: Arc::new(event),
        membership,
    }
}

fn receipt_news(moved: ReceiptMoved) -> Option<ReceiptNews> {
    Some(ReceiptNews {
        user_id: UserId::parse(&moved.user_id).ok()?,
        is_private: moved.receipt_type == "m.read.private",
        thread_id: moved.thread_id,
        event_id: EventId::parse(&moved.event_id).ok()?,
        ts_ms: moved.ts_ms,
    })
}
