//! Ephemeral events of other servers (server-server API, "EDUs"): who types, who is there, what was read, messages to devices, devices and keys of users. Of kinds that are not known here nothing
//! is taken, as the specification wants it.

use std::collections::BTreeMap;

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, ServerName, events::receipt::ReceiptType};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as JsonValue, value::RawValue};

use super::{House, HouseError};
use crate::{
    room::message::MoveReceipt,
    user::{UserCommand, UserError},
};

/// So long a notice of typing counts, since another server does not say.
const TYPING_MS: u64 = 30_000;

/// So many users, receipts or messages of one event are looked at.
const PARTS_MAX: usize = 1_000;

/// An ephemeral event.
#[derive(Debug, Deserialize)]
pub struct ReceivedEdu {
    /// Its kind.
    pub edu_type: String,
    /// What it says.
    pub content: Box<RawValue>,
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
    /// Those of the first ones that make sense.
    fn good<K, V>(self) -> impl Iterator<Item = (K, V)>
    where
        K: for<'a> TryFrom<&'a str>,
        V: DeserializeOwned,
    {
        let first = self.0.into_iter().take(PARTS_MAX);
        first.filter_map(|(key, value)| {
            let key = K::try_from(key.as_str()).ok()?;
            Some((key, serde_json::from_str(value.get()).ok()?))
        })
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
            "m.receipt" => {
                if let Ok(receipts) = serde_json::from_str(content) {
                    self.receive_receipts(origin, receipts).await;
                }
                Ok(())
            }
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
        if typing.user_id.server_name() != origin
            || !self.is_admitted(origin, &typing.room_id).await
        {
            return;
        }
        let timeout_ms = if typing.typing { TYPING_MS } else { 0 };
        let set = self.set_typing(&typing.room_id, &typing.user_id, timeout_ms);
        passed_over(origin, set.await);
    }

    async fn receive_receipts(&self, origin: &ServerName, receipts: Entries) {
        for (room_id, by_type) in receipts.good::<OwnedRoomId, ByType>() {
            if !self.is_admitted(origin, &room_id).await {
                continue;
            }
            for (user_id, mut receipt) in by_type.read.good::<OwnedUserId, Receipt>() {
                let Some(event_id) = receipt.event_ids.pop() else {
                    continue;
                };
                if user_id.server_name() != origin {
                    continue;
                }
                let moved = MoveReceipt {
                    user_id,
                    receipt_type: ReceiptType::Read,
                    thread_id: receipt.data.thread_id,
                    event_id,
                    ts_ms: receipt.data.ts.and_then(|ts| ts.as_u64()),
                    found: false,
                };
                passed_over(origin, self.move_receipt(&room_id, moved).await);
            }
        }
    }

    async fn receive_to_device(
        &self,
        origin: &ServerName,
        told: ToDevice,
    ) -> Result<(), HouseError> {
        if told.sender.server_name() != origin {
            return Ok(());
        }
        let local = told
            .messages
            .good::<OwnedUserId, BTreeMap<String, Box<RawValue>>>();
        for (user_id, by_device) in local.filter(|(id, _)| self.is_local(id.server_name())) {
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
                Err(error) => passed_over(origin, Err(error.into())),
            }
        }
        Ok(())
    }

    async fn is_admitted(&self, origin: &ServerName, room_id: &ruma::RoomId) -> bool {
        let gate = self.room_gate(room_id, origin).await;
        gate.is_ok_and(|gate| gate.admits && gate.inhabited)
    }
}

fn passed_over(origin: &ServerName, outcome: Result<(), HouseError>) {
    if let Err(error) = outcome {
        tracing::debug!(%origin, %error, "an ephemeral event is passed over");
    }
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
        let mut rooms: Vec<_> = receipts.good::<OwnedRoomId, ByType>().collect();
        assert_eq!(rooms.len(), 1);
        let (room_id, by_type) = rooms.remove(0);
        assert_eq!(room_id.as_str(), "!room:x");
        let read: Vec<_> = by_type.read.good::<OwnedUserId, Receipt>().collect();
        let users: Vec<_> = read.iter().map(|(user_id, _)| user_id.as_str()).collect();
        assert_eq!(users, ["@emil:x", "@fred:x"]);
        let times = read.iter().map(|(_, receipt)| receipt.data.ts.as_ref());
        let times: Vec<_> = times.map(|ts| ts.and_then(JsonValue::as_u64)).collect();
        assert_eq!(times, [Some(7), None]);
        let messages = r#"{"sender": "@a:x", "type": "t", "message_id": "m", "messages": {
            "nobody": {"D": {}}, "@bert:y": 5, "@carl:y": {"D": {"text": "hello"}, "*": 5}
        }}"#;
        let told: ToDevice = serde_json::from_str(messages).expect("messages");
        let good = told
            .messages
            .good::<OwnedUserId, BTreeMap<String, Box<RawValue>>>();
        let good: Vec<_> = good
            .map(|(user_id, devices)| (user_id.to_string(), devices.len()))
            .collect();
        assert_eq!(good, [("@carl:y".to_owned(), 2)]);
    }
}
