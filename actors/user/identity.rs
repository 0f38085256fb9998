//! What a user tells of its identity keys: those of its devices, its cross-signing keys, and its signatures on the keys of others.

use std::collections::BTreeSet;

use playhouse_schema::address::Sequence;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde_json::Value as JsonValue;

use super::{
    answer::IdentityKeys, cross_signing::public_key, device::DeviceState, json, state::User,
};
use crate::{env::JsonObject, room::message::JsonText};

impl User {
    /// Identity keys of devices, of all when none is named, and the cross-signing keys, with the signatures that were added since.
    pub fn identity_keys(&self, device_ids: &[OwnedDeviceId]) -> IdentityKeys {
        let known = &self.cross_signing;
        IdentityKeys {
            devices: self.keys(device_ids),
            master: known.master.as_ref().map(|key| self.signed_master(key)),
            self_signing: known.self_signing.as_ref().map(ToString::to_string),
            user_signing: known.user_signing.as_ref().map(ToString::to_string),
        }
    }

    /// Identity keys of devices, of all when none is named, with the signatures that were added since and the device's name.
    pub fn keys(&self, device_ids: &[OwnedDeviceId]) -> Vec<(OwnedDeviceId, JsonText)> {
        if device_ids.is_empty() {
            return self
                .devices
                .values()
                .filter_map(|device| self.keys_of(device))
                .collect();
        }
        let named: BTreeSet<_> = device_ids.iter().collect();
        named
            .into_iter()
            .filter_map(|device_id| self.keys_of(self.device(device_id)?))
            .collect()
    }

    fn keys_of(&self, device: &DeviceState) -> Option<(OwnedDeviceId, JsonText)> {
        let mut keys = json::object(device.keys.as_ref()?).ok()?;
        self.add_signatures(device.device_id.as_str(), &mut keys);
        keys.remove("unsigned");
        if let Some(name) = &device.display_name {
            let unsigned = serde_json::json!({ "device_display_name": name });
            keys.insert("unsigned".to_owned(), unsigned);
        }
        let keys = JsonValue::Object(keys).to_string();
        Some((device.device_id.clone(), keys))
    }

    fn signed_master(&self, master: &str) -> JsonText {
        let (Ok(mut object), Some(public)) = (json::object(master), public_key(master)) else {
            return master.to_owned();
        };
        self.add_signatures(&public, &mut object);
        JsonValue::Object(object).to_string()
    }

    fn add_signatures(&self, key_id: &str, keys: &mut JsonObject) {
        let name = (self.user_id.to_string(), key_id.to_owned());
        if let Some(added) = self.signatures.get(&name) {
            add_signatures(keys, &added.json);
        }
    }

    /// What this user signed of others' keys: whose, which, and a `signatures` object. Only the user itself may see it.
    pub fn signatures_on(&self, users: &[OwnedUserId]) -> Vec<(OwnedUserId, String, JsonText)> {
        let mut found = Vec::new();
        for user_id in users.iter().filter(|user_id| **user_id != self.user_id) {
            let first = (user_id.to_string(), String::new());
            let of_user = self
                .signatures
                .range(first..)
                .take_while(|((of, _), _)| *of == *user_id.as_str());
            for ((_, key_id), signed) in of_user {
                found.push((user_id.clone(), key_id.clone(), signed.json.to_string()));
            }
        }
        found
    }

    /// Other users whose keys this user signed by records after one: its own devices see these keys differently now.
    pub(super) fn signed_after(&self, after: Sequence) -> impl Iterator<Item = OwnedUserId> {
        let has_some = self.signed_others > after;
        self.signatures
            .iter()
            .take_while(move |_| has_some)
            .filter(move |((of, _), signed)| {
                signed.sequence > after && *of != *self.user_id.as_str()
            })
            .filter_map(|((of, _), _)| UserId::parse(of).ok())
    }
}

/// Adds a `signatures` object to those of a key.
pub fn add_signatures(key: &mut JsonObject, added: &str) {
    let signatures = key
        .entry("signatures")
        .or_insert_with(|| JsonValue::Object(JsonObject::new()));
    if let JsonValue::Object(signatures) = signatures {
        json::merge_signatures(signatures, added);
    }
}
