//! Ephemeral events of other servers (server-server API, "EDUs"): who types, who is there, what was read, messages to devices, devices and keys of users. Of kinds that are not known here nothing
//! is taken, as the specification wants it.

use std::collections::BTreeMap;

use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, ServerName, events::receipt::ReceiptType,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as JsonValue, value::RawValue};

use super::{House, HouseError};
use crate::{
    room::message::MoveReceipt,
    user::{UserCommand, UserError},
};

/// So long a notice of typing counts, since another server does not say.
const TYPING_MS: u64 = 30_000;

/// So many rooms, users or devices of one event are looked at, of those that make sense and are meant.
const PARTS_MAX: usize = 1_000;

/// An ephemeral event.
#[derive(Debug, Deserialize)]
pub struct ReceivedEdu {
    /// Its kind.
    pub edu_type: String,
    /// What it says.
    pub content: Box<RawValue>,
}

impl ReceivedEdu {
    /// Whether it may rest on the events that come with it: who types, is there or has read something, may have come into the room by them, and what was
    /// read may be among them. All else, such as the keys of encrypted messages, comes before the events.
    pub fn follows_events(&self) -> bool {
        matches!(
            self.edu_type.as_str(),
            "m.receipt" | "m.typing" | "m.presence"
        )
    }
}

#[derive(Deserialize)]
struct Typing {
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    typing: bool,
}

/// An object in which each entry stands for itself: what is no entry is passed over, and takes none of the others with it.
#[derive(Default, Deserialize)]
struct Entries(BTreeMap<String, Box<RawValue>>);

impl Entries {
    /// The first ones of those that make sense and whose keys are meant: the others take nobody's place.
    fn good<K, V>(self, is_meant: impl Fn(&K) -> bool) -> impl Iterator<Item = (K, V)>
    where
        K: for<'a> TryFrom<&'a str>,
        V: DeserializeOwned,
    {
        let entries = self.0.into_iter();
        let good = entries.filter_map(move |(key, value)| {
            let key = K::try_from(key.as_str()).ok()?;
            if !is_meant(&key) {
                return None;
            }
            Some((key, serde_json::from_str(value.get()).ok()?))
        });
        good.take(PARTS_MAX)
    }
}

#[derive(Deserialize)]
struct ByType {
    #[serde(rename = "m.read", default)]
    read: Entries,
}

#[derive(Deserialize)]
struct Receipt {
    event_ids: Vec<OwnedEventId>,
    #[serde(default)]
    data: ReceiptData,
}

#[derive(Default, Deserialize)]
struct ReceiptData {
    thread_id: Option<String>,
    ts: Option<JsonValue>,
}

#[derive(Deserialize)]
struct ToDevice {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: String,
    message_id: String,
    messages: Entries,
}

impl House {
    /// Takes in an ephemeral event. What makes no sense is passed over; an error means that it must be sent again.
    pub async fn receive_edu(
        &self,
        origin: &ServerName,
        edu: ReceivedEdu,
    ) -> Result<(), HouseError> {
        let content = edu.content.get();
        match edu.edu_type.as_str() {
            "m.typing" => {
                if let Ok(typing) = serde_json::from_str(content) {
                    self.receive_typing(origin, typing).await;
                }
                Ok(())
            }
            "m.receipt" => match serde_json::from_str(content) {
                Ok(receipts) => self.receive_receipts(origin, receipts).await,
                Err(_) => Ok(()),
            },
            "m.direct_to_device" => match serde_json::from_str(content) {
                Ok(messages) => self.receive_to_device(origin, messages).await,
                Err(_) => Ok(()),
            },
            "m.presence" => {
                if let Ok(told) = serde_json::from_str(content) {
                    self.receive_presence(origin, told).await;
                }
                Ok(())
            }
            "m.device_list_update" => match serde_json::from_str(content) {
                Ok(update) => self.receive_device_list_update(origin, update).await,
                Err(_) => Ok(()),
            },
            "m.signing_key_update" => match serde_json::from_str(content) {
                Ok(update) => self.receive_signing_key_update(origin, update).await,
                Err(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn receive_typing(&self, origin: &ServerName, typing: Typing) {
        if typing.user_id.server_name() != origin {
            return;
        }
        match self.is_admitted(origin, &typing.room_id).await {
            Ok(true) => {}
            Ok(false) => return,
            // It would be over by the time it is told again.
            Err(error) => return passed_over(origin, &error),
        }
        let timeout_ms = if typing.typing { TYPING_MS } else { 0 };
        let set = self.set_typing(&typing.room_id, &typing.user_id, timeout_ms);
        if let Err(error) = set.await {
            passed_over(origin, &error);
        }
    }

    async fn receive_receipts(
        &self,
        origin: &ServerName,
        receipts: Entries,
    ) -> Result<(), HouseError> {
        for (room_id, by_type) in receipts.good::<OwnedRoomId, ByType>(|_| true) {
            if !self.is_admitted(origin, &room_id).await? {
                continue;
            }
            let is_its = |user_id: &OwnedUserId| user_id.server_name() == origin;
            for (user_id, mut receipt) in by_type.read.good::<OwnedUserId, Receipt>(is_its) {
                let Some(event_id) = receipt.event_ids.pop() else {
                    continue;
                };
                let moved = MoveReceipt {
                    user_id,
                    receipt_type: ReceiptType::Read,
                    thread_id: receipt.data.thread_id,
                    event_id,
                    ts_ms: receipt.data.ts.and_then(|ts| ts.as_u64()),
                    found: false,
                };
                match self.receive_receipt(&room_id, moved).await {
                    Err(error) if is_passing(&error) => return Err(error),
                    Err(error) => passed_over(origin, &error),
                    Ok(()) => {}
                }
            }
        }
        Ok(())
    }

    async fn receive_to_device(
        &self,
        origin: &ServerName,
        told: ToDevice,
    ) -> Result<(), HouseError> {
        if told.sender.server_name() != origin {
            return Ok(());
        }
        let is_ours = |user_id: &OwnedUserId| self.is_local(user_id.server_name());
        let local = told
            .messages
            .good::<OwnedUserId, BTreeMap<String, Box<RawValue>>>(is_ours);
        for (user_id, by_device) in local {
            let messages = by_device.into_iter().take(PARTS_MAX);
            let messages = messages.map(|(device, content)| (device, content.get().to_owned()));
            let command = UserCommand::QueueToDevice {
                // Names of messages are good within their server only.
                message_id: Some(format!("{origin}/{}", told.message_id)),
                sender: told.sender.clone(),
                event_type: told.event_type.clone(),
                messages: messages.collect(),
            };
            match self.user_command(&user_id, command).await {
                Ok(_) | Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error @ UserError::Unavailable(_)) => return Err(error.into()),
                Err(error) => passed_over(origin, &error.into()),
            }
        }
        Ok(())
    }

    /// Whether a room listens to a server; an error when that cannot be told now.
    async fn is_admitted(&self, origin: &ServerName, room_id: &RoomId) -> Result<bool, HouseError> {
        match self.room_gate(room_id, origin).await {
            Ok(gate) => Ok(gate.admits && gate.inhabited),
            Err(error) if is_passing(&error) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Whether the trouble is the store's or the load's: what is told again later is taken in then.
fn is_passing(error: &HouseError) -> bool {
    match error {
        HouseError::Room(error) => !error.is_lasting(),
        HouseError::Store(_) => true,
        _ => false,
    }
}

fn passed_over(origin: &ServerName, error: &HouseError) {
    tracing::debug!(%origin, %error, "an ephemeral event is passed over");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_takes_nothing_with_it() {
        let receipts = r#"{
            "no room": {"m.read": {}},
            "!other:x": 5,
            "!room:x": {"m.read.private": 5, "m.read": {
                "nobody": {"event_ids": ["$a"], "data": {"ts": 1}},
                "@dora:x": {"event_ids": "$a"},
                "@emil:x": {"event_ids": ["$a"], "data": {"ts": 7}},
                "@fred:x": {"event_ids": ["$a"], "data": {"ts": "now", "thread_id": "main"}}
            }}
        }"#;
        let receipts: Entries = serde_json::from_str(receipts).expect("an object");
        let mut rooms: Vec<(OwnedRoomId, ByType)> = receipts.good(|_| true).collect();
        assert_eq!(rooms.len(), 1);
        let (room_id, by_type) = rooms.remove(0);
        assert_eq!(room_id.as_str(), "!room:x");
        let read: Vec<(OwnedUserId, Receipt)> = by_type.read.good(|_| true).collect();
        let users: Vec<_> = read.iter().map(|(user_id, _)| user_id.as_str()).collect();
        assert_eq!(users, ["@emil:x", "@fred:x"]);
        let times = read.iter().map(|(_, receipt)| receipt.data.ts.as_ref());
        let times: Vec<_> = times.map(|ts| ts.and_then(JsonValue::as_u64)).collect();
        assert_eq!(times, [Some(7), None]);
        let messages = r#"{"sender": "@a:x", "type": "t", "message_id": "m", "messages": {
            "nobody": {"D": {}}, "@bert:y": 5, "@carl:y": {"D": {"text": "hello"}, "*": 5}
        }}"#;
        let told: ToDevice = serde_json::from_str(messages).expect("messages");
        let good: Vec<(OwnedUserId, BTreeMap<String, Box<RawValue>>)> =
            told.messages.good(|_| true).collect();
        let good: Vec<_> = good
            .iter()
            .map(|(user_id, devices)| (user_id.as_str(), devices.len()))
            .collect();
        assert_eq!(good, [("@carl:y", 2)]);
    }

    #[test]
    fn those_who_are_not_meant_take_nobodys_place() {
        let far = (0..2 * PARTS_MAX).map(|number| (format!("@a{number}:far"), JsonValue::from(1)));
        let bad = (0..2 * PARTS_MAX).map(|number| (format!("@b{number}:y"), JsonValue::from("")));
        let near = (0..PARTS_MAX).map(|number| (format!("@z{number}:y"), JsonValue::from(2)));
        let all: serde_json::Map<_, _> = far.chain(bad).chain(near).collect();
        let all: Entries = serde_json::from_value(all.into()).expect("an object");
        let is_meant = |user_id: &OwnedUserId| user_id.server_name() == "y";
        let good: Vec<(OwnedUserId, u8)> = all.good(is_meant).collect();
        assert_eq!(good.len(), PARTS_MAX);
    }

    #[test]
    fn only_what_rests_on_events_waits_for_them() {
        let follows = |edu_type: &str| {
            let edu = format!(r#"{{"edu_type": "{edu_type}", "content": {{}}}}"#);
            let edu: ReceivedEdu = serde_json::from_str(&edu).expect("an event");
            edu.follows_events()
        };
        let after = ["m.receipt", "m.typing", "m.presence"];
        assert_eq!(after.map(follows), [true; 3]);
        let before = [
            "m.direct_to_device",
            "m.device_list_update",
            "m.signing_key_update",
        ];
        assert_eq!(before.map(follows), [false; 3]);
    }
}
