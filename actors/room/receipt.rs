//! Receipts (client-server API, "Receipts" and "Threaded read receipts").

use std::collections::BTreeMap;

use playhouse_schema::{
    address::Sequence,
    record::room::{ReceiptMoved, RoomRecord},
};
use ruma::{
    EventId, OwnedEventId,
    events::{receipt::ReceiptType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    Room, RoomError, RoomReply, event::RoomEvent, held, message::MoveReceipt, receipts::ReceiptKey,
};
use crate::{
    env::Env,
    kernel::{Decision, Resident},
};

/// The thread of everything outside threads.
const MAIN_THREAD: &str = "main";

/// How many relations are followed to find an event's thread.
const HOPS_MAX: usize = 3;

/// Judges a move of receipts. Moves that would go backwards are left out.
///
/// The room compares places only among what it has in memory; that an older event exists in this room is the caller's to have checked. An event older
/// than the newest ones is before every receipt that stands among those; against a receipt that is as old, the move is believed.
pub(super) fn decide(
    room: &Room,
    env: &Env,
    moves: Vec<MoveReceipt>,
) -> Result<Decision<Room>, RoomError> {
    if !room.exists() {
        return Err(RoomError::UnknownRoom);
    }
    let mut moved: BTreeMap<ReceiptKey, ReceiptMoved> = BTreeMap::new();
    for receipt in moves {
        check(room, env, &receipt)?;
        let key = (
            receipt.user_id.clone(),
            receipt.receipt_type.to_string(),
            receipt.thread_id.clone(),
        );
        let in_force = moved
            .get(&key)
            .map(|moved| (moved.event_id.as_str(), place(room, &moved.event_id)))
            .or_else(|| {
                let receipt = room.receipts.get(&key)?;
                Some((receipt.moved.event_id.as_str(), receipt.place))
            });
        let goes_on = in_force.is_none_or(|(event_id, before)| {
            event_id != receipt.event_id && is_forward(room, before, receipt.event_id.as_str())
        });
        if goes_on {
            let record = ReceiptMoved {
                user_id: key.0.to_string(),
                receipt_type: key.1.clone(),
                thread_id: key.2.clone(),
                event_id: receipt.event_id.to_string(),
                ts_ms: receipt.ts_ms.unwrap_or(u64::MAX).min(env.now_ms()),
            };
            moved.insert(key, record);
        }
    }
    let records = moved.into_values().map(RoomRecord::ReceiptMoved).collect();
    Ok(Decision::new(records, RoomReply::Done))
}

/// Keeps a receipt of another server's user that has come before what it rests on. Answers whether it waits: it does not, if that has come meanwhile.
pub(super) fn hold(resident: &Resident<Room>, receipt: MoveReceipt) -> bool {
    let (room, context) = (&*resident.state, &*resident.context);
    let checked = check(room, &context.env, &receipt);
    let is_early = checked.is_err_and(|error| held::is_early(&error));
    if is_early {
        context.held_receipts.hold(&room.room_id, receipt);
    }
    is_early
}

fn check(room: &Room, env: &Env, receipt: &MoveReceipt) -> Result<(), RoomError> {
    if !matches!(
        receipt.receipt_type,
        ReceiptType::Read | ReceiptType::ReadPrivate
    ) {
        return Err(RoomError::InvalidParam(
            "unknown type of receipt".to_owned(),
        ));
    }
    let membership = room.membership(&receipt.user_id);
    let is_remote = receipt.user_id.server_name() != env.server_name();
    // The server that let us in may have left out the member.
    if membership.is_none() && is_remote && room.partial().is_some() {
        return Err(RoomError::PartialState);
    }
    if membership != Some(MembershipState::Join) {
        return Err(RoomError::Forbidden(
            "only joined members have receipts".to_owned(),
        ));
    }
    if !receipt.found && room.recent_event(&receipt.event_id).is_none() {
        return Err(RoomError::NotAtHand);
    }
    let Some(thread_id) = receipt.thread_id.as_deref() else {
        return Ok(());
    };
    let is_root = EventId::parse(thread_id).is_ok();
    if thread_id != MAIN_THREAD && !is_root {
        return Err(RoomError::InvalidParam(
            "a thread is `main` or an event ID".to_owned(),
        ));
    }
    match thread_of(room, &receipt.event_id) {
        // The root belongs to the main timeline and to its own thread.
        Some(thread) if thread != thread_id && receipt.event_id != thread_id => Err(
            RoomError::InvalidParam("the event is not part of this thread".to_owned()),
        ),
        _ => Ok(()),
    }
}

/// The thread of an event as far as memory reaches; `None` when it does not.
fn thread_of(room: &Room, event_id: &EventId) -> Option<String> {
    let mut event: &RoomEvent = room.recent_event(event_id)?;
    for _ in 0..HOPS_MAX {
        match relation_of(event) {
            None => return Some(MAIN_THREAD.to_owned()),
            Some(relation) if relation.rel_type.as_deref() == Some("m.thread") => {
                return Some(relation.event_id.to_string());
            }
            Some(relation) => event = room.recent_event(&relation.event_id)?,
        }
    }
    Some(MAIN_THREAD.to_owned())
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
}

#[derive(Deserialize)]
struct Relation {
    rel_type: Option<String>,
    event_id: OwnedEventId,
}

fn relation_of(event: &RoomEvent) -> Option<Relation> {
    event.pdu.content_as::<Content>()?.relates_to
}

fn place(room: &Room, event_id: &str) -> Option<Sequence> {
    let event_id = <&EventId>::try_from(event_id).ok()?;
    room.recent_event(event_id).map(|event| event.sequence)
}

fn is_forward(room: &Room, before: Option<Sequence>, event_id: &str) -> bool {
    let oldest = room.recent.front().map_or(0, |event| event.sequence);
    match (before, place(room, event_id)) {
        (Some(before), Some(after)) => after > before,
        (Some(before), None) => before < oldest,
        (None, _) => true,
    }
}
