//! Receipts and typing as clients see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use playhouse_schema::address::Position;
use ruma::{EventId, OwnedUserId, UserId};

use super::{
    super::{
        error::RoomError,
        event::push_json_string,
        message::{OwnReceipt, Reader},
        receipts::Receipt,
        state::Room,
    },
    View,
};

/// The public kind of receipt.
const READ: &str = "m.read";

/// The kind that only its owner sees.
const READ_PRIVATE: &str = "m.read.private";

/// Receipts of one event: by type, then by user.
type ByType<'a> = BTreeMap<&'a str, BTreeMap<&'a str, &'a Receipt>>;

/// The `m.receipt` event with the receipts that moved after a position up to another; of those of others only the ones at these events, if some are
/// named.
pub(super) fn receipts_event(
    room: &Room,
    reader: &Reader,
    (since, until): (Position, Position),
    of_events: Option<&BTreeSet<&EventId>>,
) -> Option<Bytes> {
    let mut events: BTreeMap<&str, ByType<'_>> = BTreeMap::new();
    let moved = room.receipts.moved_between(since, until);
    for ((user_id, receipt_type, thread_id), receipt) in moved {
        let own = *user_id == reader.user_id;
        let shown = receipt_type == READ || (own && receipt_type == READ_PRIVATE);
        if !shown || (!own && reader.ignored.contains(user_id)) {
            continue;
        }
        if let Some(events) = of_events
            && !own
            && !EventId::parse(&receipt.moved.event_id).is_ok_and(|id| events.contains(&*id))
        {
            continue;
        }
        let users = events
            .entry(&receipt.moved.event_id)
            .or_default()
            .entry(receipt_type)
            .or_default();
        // Clients see one receipt of a kind for an event and a user; the one without a thread covers the others.
        if thread_id.is_none() || !users.contains_key(user_id.as_str()) {
            users.insert(user_id.as_str(), receipt);
        }
    }
    (!events.is_empty()).then(|| write_receipts(&events))
}

fn write_receipts(events: &BTreeMap<&str, ByType<'_>>) -> Bytes {
    let mut out = String::from("{\"content\":{");
    let mut comma = "";
    for (event_id, types) in events {
        open(&mut out, &mut comma, event_id);
        for (receipt_type, users) in types {
            open(&mut out, &mut comma, receipt_type);
            for (user_id, receipt) in users {
                open(&mut out, &mut comma, user_id);
                if let Some(thread_id) = &receipt.moved.thread_id {
                    out.push_str("\"thread_id\":");
                    push_json_string(&mut out, thread_id);
                    out.push(',');
                }
                let _ = write!(out, "\"ts\":{}}}", receipt.moved.ts_ms);
                comma = ",";
            }
            out.push('}');
        }
        out.push('}');
    }
    out.push_str("},\"type\":\"m.receipt\"}");
    Bytes::from(out)
}

fn open(out: &mut String, comma: &mut &str, name: &str) {
    out.push_str(comma);
    push_json_string(out, name);
    out.push_str(":{");
    *comma = "";
}

/// The `m.typing` event.
pub(super) fn typing_event(typing: &[OwnedUserId], reader: &Reader) -> Bytes {
    let mut out = String::from("{\"content\":{\"user_ids\":[");
    let mut comma = "";
    for user_id in typing {
        if !reader.ignored.contains(user_id) {
            out.push_str(comma);
            push_json_string(&mut out, user_id.as_str());
            comma = ",";
        }
    }
    out.push_str("]},\"type\":\"m.typing\"}");
    Bytes::from(out)
}

/// A user's own receipts in force, public and private.
pub(super) async fn own_receipts(
    view: &mut View,
    user_id: &UserId,
) -> Result<Vec<OwnReceipt>, RoomError> {
    let room = view.room().clone();
    let own = room.receipts.of_user(user_id);
    let mut receipts = Vec::new();
    for ((.., thread_id), receipt) in own {
        let Ok(event_id) = EventId::parse(&receipt.moved.event_id) else {
            continue;
        };
        let sequence = match receipt.place {
            Some(place) => Some(place),
            None => view
                .history
                .find(&event_id)
                .await?
                .map(|event| event.sequence),
        };
        receipts.push(OwnReceipt {
            thread_id: thread_id.clone(),
            event_id,
            sequence,
        });
    }
    Ok(receipts)
}
