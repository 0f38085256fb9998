//! Transactions: what goes into one, and its bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Family, Position, Sequence, Shard},
    port::{LogStore, StoreError},
    record::{
        codec::Record as _,
        room::ReceiptMoved,
        server::{Departed, EventRun, Lag, Owed, ToDeviceRef},
        user::{ToDeviceSent, UserRecord},
    },
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId};
use serde_json::{Value as JsonValue, json, value::RawValue};

use super::{
    board::{Direct, Place, ReceiptName, position_in},
    slot::Waiting,
};
use crate::{env::JsonObject, room::event::RoomEvent, user::message::Presence};

/// The most events in one transaction (server-server API, "Transactions").
pub(super) const EVENTS_MAX: usize = 50;

/// The most ephemeral parts in one transaction.
pub(super) const EDUS_MAX: usize = 100;

/// So many to-device messages and changes of devices go into one transaction: receivers work through each.
const DIRECT_MAX: usize = 50;

/// So many ephemeral parts these become: the others must have room, too.
pub(super) const DIRECT_EDUS_MAX: usize = DIRECT_MAX + 4;

/// So many receipts are told in one transaction.
const RECEIPTS_MAX: usize = 200;

/// So many of them are of one user in one room, in other threads: each needs a part of its own.
const THREADS_MAX: usize = 20;

/// What goes into the next transaction, and how the board knows it again.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) departed: Departed,
    pub(super) events: Vec<(OwnedRoomId, Place)>,
    pub(super) direct: Vec<(Direct, Place)>,
    pub(super) receipts: Vec<(ReceiptName, (ReceiptMoved, Place))>,
    pub(super) typing: Vec<((OwnedRoomId, OwnedUserId), bool)>,
    pub(super) presence: Vec<(OwnedUserId, std::sync::Arc<Presence>)>,
}

impl Batch {
    /// The first of what waits, lane by lane. Nothing is taken away yet but what is volatile.
    pub(super) fn of(waiting: &mut Waiting) -> Self {
        let mut batch = Self {
            events: waiting.events.iter().take(EVENTS_MAX).cloned().collect(),
            direct: waiting.direct.iter().take(DIRECT_MAX).cloned().collect(),
            ..Self::default()
        };
        let mut threads: BTreeMap<_, usize> = BTreeMap::new();
        let receipts = waiting
            .receipts
            .iter()
            .filter(|((room_id, ..), (moved, _))| {
                let count = threads.entry((room_id, &moved.user_id)).or_default();
                *count += 1;
                *count <= THREADS_MAX
            });
        batch.receipts = receipts
            .take(RECEIPTS_MAX)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let space = EDUS_MAX / 4;
        while batch.typing.len() < space
            && let Some(typing) = waiting.typing.pop_first()
        {
            batch.typing.push(typing);
        }
        while batch.presence.len() < EVENTS_MAX
            && let Some(presence) = waiting.presence.pop_first()
        {
            batch.presence.push(presence);
        }
        batch
    }

    /// What a destination is owed. It lies nowhere on the board: no position depends on it.
    pub(super) fn of_owed(owed: &Owed) -> Self {
        let nowhere = |sequence| Place {
            shard: Shard {
                family: Family::Users,
                number: 0,
            },
            position: 0,
            sequence,
        };
        let user = |name: &str| UserId::parse(name).ok();
        let devices = owed.devices.iter().filter_map(|(name, sequence)| {
            let direct = Direct::Devices(user(name)?);
            Some((direct, nowhere(*sequence)))
        });
        let arrivals = owed
            .arrivals
            .iter()
            .filter_map(|name| Some((Direct::Arrival(user(name)?), nowhere(0))));
        let receipts = owed.receipts.iter().filter_map(|(room_id, moved)| {
            let room_id = RoomId::parse(room_id).ok()?;
            let key = (room_id, user(&moved.user_id)?, moved.thread_id.clone());
            Some((key, (moved.clone(), nowhere(0))))
        });
        Self {
            departed: Departed {
                events: owed.events.clone(),
                to_device: owed.to_device.clone(),
                owed: 1,
                ..Departed::default()
            },
            direct: devices.chain(arrivals).collect(),
            receipts: receipts.collect(),
            ..Self::default()
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.direct.is_empty()
            && self.receipts.is_empty()
            && self.typing.is_empty()
            && self.presence.is_empty()
    }

    /// Whether it holds something that must not be lost.
    pub(super) fn is_durable(&self) -> bool {
        !(self.events.is_empty() && self.direct.is_empty() && self.receipts.is_empty())
    }

    /// Receipts, presence and who types, in this order.
    pub(super) fn volatile_edus(&self, now_ms: u64) -> Vec<JsonValue> {
        let receipts = self.receipts.iter();
        let mut edus =
            receipt_edus(receipts.map(|((room_id, ..), (moved, _))| (room_id.as_str(), moved)));
        edus.extend(presence_edu(&self.presence, now_ms));
        let typing = self.typing.iter();
        edus.extend(typing.map(|(key, typing)| typing_edu(key, *typing)));
        edus
    }

    /// Up to where nothing is left once this is recorded, in the shards of what is in it: in order as it is in the log, so up to before what stays.
    pub(super) fn done(&self, waiting: &Waiting, distributed: &Lag) -> Lag {
        let mut done: BTreeMap<Shard, Position> = BTreeMap::new();
        let receipts = self.receipts.iter().map(|(_, (_, place))| place);
        for place in places(&self.events, &self.direct).chain(receipts) {
            let reached = match place.shard.family {
                // More of the same record may be on its way to the board.
                Family::Rooms if place.position > position_in(distributed, place.shard) => {
                    place.position.saturating_sub(1)
                }
                // What a user's record brings a destination is one thing.
                _ => place.position,
            };
            let known = done.entry(place.shard).or_default();
            *known = reached.max(*known);
        }
        let events = waiting.events.iter().skip(self.events.len());
        let direct = waiting.direct.iter().skip(self.direct.len());
        let told: BTreeMap<_, _> = self.receipts.iter().map(|it| (&it.0, &it.1)).collect();
        let receipts = waiting.receipts.iter();
        let receipts = receipts.filter(|(key, untold)| told.get(key) != Some(untold));
        let receipts = receipts.map(|(_, (_, place))| place);
        for place in places(events, direct).chain(receipts) {
            if let Some(reached) = done.get_mut(&place.shard) {
                *reached = place.position.saturating_sub(1).min(*reached);
            }
        }
        let of = |family: Family| {
            let done = done.iter();
            let done = done.filter(|(shard, position)| shard.family == family && **position > 0);
            done.map(|(shard, position)| (shard.number, *position))
                .collect()
        };
        Lag {
            rooms: of(Family::Rooms),
            users: of(Family::Users),
        }
    }

    /// It is in the log: the board may forget it.
    pub(super) fn forget(&self, waiting: &mut Waiting) {
        for event in &self.events {
            if waiting.events.front() == Some(event) {
                waiting.events.pop_front();
            }
        }
        for direct in &self.direct {
            if waiting.direct.front() == Some(direct) {
                waiting.direct.pop_front();
            }
        }
        for (key, told) in &self.receipts {
            if waiting.receipts.get(key) == Some(told) {
                waiting.receipts.remove(key);
            }
        }
    }
}

fn places<'a>(
    events: impl IntoIterator<Item = &'a (OwnedRoomId, Place)>,
    direct: impl IntoIterator<Item = &'a (Direct, Place)>,
) -> impl Iterator<Item = &'a Place> {
    let events = events.into_iter().map(|(_, place)| place);
    events.chain(direct.into_iter().map(|(_, place)| place))
}

/// Events in runs of one room.
pub(super) fn add_event(runs: &mut Vec<EventRun>, room_id: &str, sequence: u64) {
    match runs.last_mut() {
        Some(run) if run.room_id == room_id => run.sequences.push(sequence),
        _ => runs.push(EventRun {
            room_id: room_id.to_owned(),
            sequences: vec![sequence],
        }),
    }
}

/// A receipt EDU for each set of receipts in which no user has two in one room.
pub(super) fn receipt_edus<'a>(
    receipts: impl Iterator<Item = (&'a str, &'a ReceiptMoved)>,
) -> Vec<JsonValue> {
    let mut edus: Vec<(BTreeSet<(&str, &str)>, JsonObject)> = Vec::new();
    for (room_id, moved) in receipts {
        let key = (room_id, moved.user_id.as_str());
        let free = edus.iter().position(|(users, _)| !users.contains(&key));
        let index = free.unwrap_or_else(|| {
            edus.push(Default::default());
            edus.len() - 1
        });
        let (users, content) = &mut edus[index];
        users.insert(key);
        let mut data = json!({ "ts": moved.ts_ms });
        if let Some(thread_id) = &moved.thread_id {
            data["thread_id"] = json!(thread_id);
        }
        let room = content
            .entry(room_id)
            .or_insert_with(|| json!({ "m.read": {} }));
        room["m.read"][&moved.user_id] = json!({ "event_ids": [moved.event_id], "data": data });
    }
    edus.into_iter()
        .map(|(_, content)| edu("m.receipt", JsonValue::Object(content)))
        .collect()
}

/// A typing EDU.
fn typing_edu((room_id, user_id): &(OwnedRoomId, OwnedUserId), typing: bool) -> JsonValue {
    edu(
        "m.typing",
        json!({ "room_id": room_id, "user_id": user_id, "typing": typing }),
    )
}

/// One EDU for all presences.
fn presence_edu(
    presences: &[(OwnedUserId, std::sync::Arc<Presence>)],
    now_ms: u64,
) -> Option<JsonValue> {
    if presences.is_empty() {
        return None;
    }
    let push = presences.iter().map(|(user_id, presence)| {
        let mut push = json!({
            "user_id": user_id,
            "presence": presence.presence,
            "last_active_ago": now_ms.saturating_sub(presence.active_ms),
            "currently_active": presence.currently_active,
        });
        if let Some(status) = &presence.status_msg {
            push["status_msg"] = json!(status);
        }
        push
    });
    let push: Vec<_> = push.collect();
    Some(edu("m.presence", json!({ "push": push })))
}

/// An EDU.
pub(super) fn edu(edu_type: &str, content: JsonValue) -> JsonValue {
    json!({ "edu_type": edu_type, "content": content })
}

/// The body of a transaction.
pub(super) async fn write(
    store: &dyn LogStore,
    (origin, destination): (&ServerName, &ServerName),
    departed: &Departed,
) -> Result<Bytes, StoreError> {
    let mut pdus = Vec::new();
    for run in &departed.events {
        let entity = Entity::room(&run.room_id);
        for stored in store.read_some(&entity, &run.sequences).await? {
            if let Some(event) = RoomEvent::from_stored(&stored)? {
                pdus.extend(wire_form(&event));
            }
        }
    }
    let mut edus = Vec::new();
    for sending in &departed.to_device {
        edus.extend(to_device_edu(store, sending, destination).await?);
    }
    for edu in &departed.edus {
        edus.extend(serde_json::from_slice::<JsonValue>(edu).ok());
    }
    #[derive(serde::Serialize)]
    struct Body<'a> {
        origin: &'a ServerName,
        origin_server_ts: u64,
        pdus: Vec<Box<RawValue>>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        edus: Vec<JsonValue>,
    }
    let body = Body {
        origin,
        origin_server_ts: departed.at_ms,
        pdus,
        edus,
    };
    serde_json::to_vec(&body)
        .map(Bytes::from)
        .map_err(|error| StoreError::Damaged(error.to_string()))
}

/// An event as servers exchange it: without what only this server says of it.
fn wire_form(event: &RoomEvent) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(event.pdu.json()).ok()?;
    if !text.contains("\"unsigned\"") {
        return RawValue::from_string(text.to_owned()).ok();
    }
    let mut pdu: BTreeMap<&str, &RawValue> = serde_json::from_str(text).ok()?;
    pdu.remove("unsigned");
    serde_json::value::to_raw_value(&pdu).ok()
}

/// How many bytes a sending of to-device messages has, about. What is in it for others counts, too.
pub(super) async fn sending_bytes(
    store: &dyn LogStore,
    (user_id, sequence): (&str, Sequence),
) -> Result<usize, StoreError> {
    let found = store.read_some(&Entity::user(user_id), &[sequence]).await?;
    Ok(found.first().map_or(0, |stored| stored.payload.len()))
}

async fn to_device_edu(
    store: &dyn LogStore,
    sending: &ToDeviceRef,
    destination: &ServerName,
) -> Result<Option<JsonValue>, StoreError> {
    let entity = Entity::user(&sending.user_id);
    let found = store.read_some(&entity, &[sending.sequence]).await?;
    let Some(stored) = found.first() else {
        return Ok(None);
    };
    Ok(match UserRecord::decode(stored)? {
        Some(UserRecord::ToDeviceSent(sent)) => {
            direct_edu(&sending.user_id, &sent, destination.as_str())
        }
        _ => None,
    })
}

fn direct_edu(sender: &str, sent: &ToDeviceSent, destination: &str) -> Option<JsonValue> {
    let mut messages = JsonObject::new();
    for message in &sent.messages {
        let is_theirs = message
            .user_id
            .split_once(':')
            .is_some_and(|(_, server)| server == destination);
        if !is_theirs {
            continue;
        }
        let content: JsonValue = serde_json::from_slice(&message.content).ok()?;
        let devices = messages
            .entry(message.user_id.as_str())
            .or_insert_with(|| json!({}));
        devices[&message.device_id] = content;
    }
    let content = json!({
        "sender": sender,
        "type": sent.event_type,
        "message_id": sent.message_id,
        "messages": messages,
    });
    (!messages.is_empty()).then(|| edu("m.direct_to_device", content))
}
