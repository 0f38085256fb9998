//! A room's snapshot: references to its events, never their bytes. Versioned, disposable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::{LogStore, Snapshot, StoreError, StoredRecord},
    record::room::{MembershipTold, ReceiptMoved, StateId, Transaction},
};
use ruma::{EventId, RoomVersionId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    Room,
    early::{Early, StoredEarly},
    ends::Overtaken,
    event::RoomEvent,
    gaps::{Gaps, StoredGaps},
    parked::{ParkedPdu, ParkedPdus},
    past::Past,
    receipts::Receipt,
    receive::{Resets, StateReset},
    state::Extremity,
};

/// The format written here.
pub(crate) const VERSION: u32 = 1;

/// How many events one read brings.
const PAGE_EVENTS: usize = 1_000;

/// What is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: Option<RoomVersionId>,
    public: bool,
    forked: bool,
    current_id: StateId,
    /// The state events in force, by sequence. Type and state key stand in the events.
    current: Vec<Sequence>,
    recent: Vec<Sequence>,
    loose: Vec<Sequence>,
    extremities: Vec<(String, u64, StateId)>,
    transactions: Vec<(Transaction, String)>,
    receipts: Vec<StoredReceipt>,
    /// Whole: it is no event that could be read again by its number alone.
    #[serde(default)]
    told: Vec<(Sequence, Position, MembershipTold)>,
    /// Stretches and ends of the past.
    #[serde(default)]
    past: (Vec<(Sequence, Sequence)>, Vec<String>),
    /// Events that have not come, but are no ends when they do.
    #[serde(default)]
    overtaken: Vec<String>,
    /// Events that stick to the room, and from which record on; 0 for those that are not told yet.
    #[serde(default)]
    sticky: Vec<(Sequence, Sequence)>,
    /// Members that are not known, and those that were not for a while.
    #[serde(default)]
    gaps: StoredGaps,
    /// Redactions that came before what they redact.
    #[serde(default)]
    early: Vec<StoredEarly>,
    /// The newest resets of the state.
    #[serde(default)]
    resets: Vec<StateReset>,
    /// Events that cannot be taken in yet.
    #[serde(default)]
    parked: Vec<ParkedPdu>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredReceipt {
    moved: ReceiptMoved,
    sequence: Sequence,
    position: Position,
    place: Option<Sequence>,
}

/// The room as snapshot bytes.
pub(crate) fn encode(room: &Room) -> Bytes {
    let stored = Stored {
        version: room.version.clone(),
        public: room.public,
        forked: room.forked,
        current_id: room.current_id,
        current: room.current.values().map(|event| event.sequence).collect(),
        recent: room.recent.iter().map(|event| event.sequence).collect(),
        loose: room.loose.keys().copied().collect(),
        extremities: room
            .extremities
            .iter()
            .map(|end| (end.event_id.to_string(), end.depth, end.after))
            .collect(),
        transactions: room
            .transactions
            .iter()
            .map(|(transaction, event_id)| (transaction.clone(), event_id.to_string()))
            .collect(),
        receipts: room
            .receipts
            .iter()
            .map(|(_, receipt)| StoredReceipt {
                moved: receipt.moved.clone(),
                sequence: receipt.sequence,
                position: receipt.position,
                place: receipt.place,
            })
            .collect(),
        told: room
            .told
            .values()
            .map(|told| {
                let event = &told.event;
                (event.sequence, event.position(), told.record.clone())
            })
            .collect(),
        past: room.past.stored(),
        overtaken: room.overtaken.stored(),
        sticky: room.sticky.stored(),
        gaps: room.gaps.stored(),
        early: room.early.stored(),
        resets: room.resets.list(),
        parked: room.parked.list(),
    };
    Bytes::from(
        rmp_serde::to_vec(&stored).expect("a snapshot holds nothing that MessagePack cannot say"),
    )
}

/// The room of a snapshot, still without its events: [`hydrate`] reads them.
pub(crate) fn decode(entity: &Entity, snapshot: &Snapshot) -> Option<Room> {
    let stored: Stored = rmp_serde::from_slice(&snapshot.payload).ok()?;
    let mut room = Room::nothing(entity.name().try_into().ok()?);
    room.sequence = snapshot.sequence;
    room.rules = stored
        .version
        .as_ref()
        .and_then(RoomVersionId::rules)
        .map(Arc::new);
    room.version = stored.version.clone();
    room.public = stored.public;
    room.forked = stored.forked;
    room.current_id = stored.current_id;
    for (event_id, depth, after) in &stored.extremities {
        room.extremities.push(Arc::new(Extremity {
            event_id: EventId::parse(event_id).ok()?,
            depth: *depth,
            after: *after,
        }));
    }
    for (transaction, event_id) in &stored.transactions {
        room.transactions
            .remember(transaction.clone(), EventId::parse(event_id).ok()?);
    }
    for receipt in &stored.receipts {
        let moved = &receipt.moved;
        let key = (
            UserId::parse(&moved.user_id).ok()?,
            moved.receipt_type.clone(),
            moved.thread_id.clone(),
        );
        let receipt = Receipt {
            moved: moved.clone(),
            sequence: receipt.sequence,
            position: receipt.position,
            place: receipt.place,
        };
        room.receipts.insert(key, receipt);
    }
    for (sequence, position, told) in &stored.told {
        room.take_in_told(*sequence, *position, told);
    }
    room.past = Arc::new(Past::from_stored(&stored.past));
    room.overtaken = Overtaken::from_stored(&stored.overtaken);
    room.gaps = Gaps::from_stored(&stored.gaps);
    room.early = Early::from_stored(&stored.early);
    room.resets = Resets::from_list(stored.resets.clone());
    room.parked = ParkedPdus::from_list(stored.parked.clone());
    room.stored = Some(Arc::new(stored));
    Some(room)
}

/// The events that a room of [`decode`] lacks, by sequence.
pub(crate) fn wanted(room: &Room) -> Vec<Sequence> {
    let Some(stored) = &room.stored else {
        return Vec::new();
    };
    let sticky = stored.sticky.iter().map(|(sequence, _)| sequence);
    let wanted: BTreeSet<Sequence> = [&stored.current, &stored.recent, &stored.loose]
        .into_iter()
        .flatten()
        .chain(sticky)
        .copied()
        .collect();
    wanted.into_iter().collect()
}

/// Reads the events that the snapshot names.
pub(crate) async fn hydrate(room: &mut Room, store: &dyn LogStore) -> Result<(), StoreError> {
    let entity = Entity::room(room.room_id.as_str());
    let wanted = wanted(room);
    let mut records = Vec::with_capacity(wanted.len());
    for page in wanted.chunks(PAGE_EVENTS) {
        records.extend(store.read_some(&entity, page).await?);
    }
    put_events(room, records)?;
    bring_absent(room, store).await?;
    date_sticky(room, store).await
}

/// Reads when those of the events that stick to the room were recorded that came to it by the fold.
async fn date_sticky(room: &mut Room, store: &dyn LogStore) -> Result<(), StoreError> {
    let entity = Entity::room(room.room_id.as_str());
    for page in room.sticky.undated().chunks(PAGE_EVENTS) {
        for record in store.read_some(&entity, page).await? {
            room.sticky.date(record.sequence, record.at_ms);
        }
    }
    room.lift_doubts();
    Ok(())
}

/// Reads the events of the state in force that the log has named since the snapshot and the room did not hold.
async fn bring_absent(room: &mut Room, store: &dyn LogStore) -> Result<(), StoreError> {
    let entity = Entity::room(room.room_id.as_str());
    let absent: Vec<_> = std::mem::take(&mut room.absent).into_iter().collect();
    for page in absent.chunks(PAGE_EVENTS) {
        let sequences: Vec<_> = page.iter().map(|(_, sequence)| *sequence).collect();
        let mut found = BTreeMap::new();
        for record in store.read_some(&entity, &sequences).await? {
            found.extend(RoomEvent::from_stored(&record)?.map(|event| (event.sequence, event)));
        }
        for (key, sequence) in page {
            let event = found.get(sequence).cloned().ok_or_else(|| {
                StoreError::Damaged(format!("a state names {sequence}, which is no event"))
            })?;
            room.put_state(key.clone(), Some(event));
        }
    }
    room.tidy_up();
    Ok(())
}

/// Puts the events that the snapshot names into the room.
pub(crate) fn put_events(room: &mut Room, records: Vec<StoredRecord>) -> Result<(), StoreError> {
    let Some(stored) = room.stored.take() else {
        return Ok(());
    };
    let mut events = BTreeMap::new();
    for record in &records {
        if let Some(event) = RoomEvent::from_stored(record)? {
            events.insert(event.sequence, event);
        }
    }
    let find = |sequence: &Sequence| {
        events.get(sequence).cloned().ok_or_else(|| {
            StoreError::Damaged(format!(
                "a room's snapshot names {sequence}, which is no event"
            ))
        })
    };
    for sequence in &stored.current {
        let event = find(sequence)?;
        let key = (
            event.pdu.event_type.clone(),
            event.pdu.state_key.clone().unwrap_or_default(),
        );
        room.put_state(key, Some(event));
    }
    for sequence in &stored.recent {
        let event = find(sequence)?;
        room.held_bytes += event.weight_bytes();
        room.recent.push_back(event);
    }
    for (sequence, from) in &stored.sticky {
        room.sticky.put_back(find(sequence)?, *from);
    }
    for sequence in &stored.loose {
        let event = find(sequence)?;
        room.held_bytes += event.weight_bytes();
        room.loose.insert(*sequence, event);
    }
    Ok(())
}
