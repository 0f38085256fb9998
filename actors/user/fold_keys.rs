//! How records change devices and their keys.

use std::sync::Arc;

use playhouse_schema::{
    address::Sequence,
    record::user::{
        CrossSigningKeysSet, DeviceKeysSet, KeyClaimed, OneTimeKeysAdded, SignedKey, UserRecord,
    },
};
use ruma::{DeviceId, OwnedDeviceId};
use serde::{Deserialize, Serialize};

use super::{
    device::DeviceState,
    json,
    state::{User, text},
};
use crate::env::JsonObject;

/// Signatures that were added to a key after its upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    /// A `signatures` object.
    pub json: Arc<str>,
    /// The user's record that last added one.
    pub sequence: Sequence,
}

/// A device that collects keys while none of the user's other devices is there (MSC3814). It is among the user's devices too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dehydrated {
    /// Which.
    pub device_id: OwnedDeviceId,
    /// Its `device_data` object, from which a client makes the device again.
    pub data: Arc<str>,
}

impl User {
    /// Takes in what a record says of devices and keys.
    pub(super) fn fold_keys(&mut self, sequence: Sequence, record: &UserRecord) {
        match record {
            UserRecord::DeviceAdded(added) => {
                let device_id = OwnedDeviceId::from(added.device_id.as_str());
                let mut device = DeviceState::new(device_id.clone(), sequence);
                device.display_name.clone_from(&added.display_name);
                self.devices.insert(device_id, Arc::new(device));
            }
            UserRecord::DeviceRenamed(renamed) => {
                self.change_device(&renamed.device_id, |device| {
                    device.display_name.clone_from(&renamed.display_name);
                });
            }
            UserRecord::DeviceRemoved(device_id) => self.remove_device(device_id),
            UserRecord::DevicesSeen(sightings) => {
                for seen in sightings {
                    self.change_device(&seen.device_id, |device| {
                        device.last_seen_ms = Some(seen.at_ms);
                        device.last_seen_address = Some(seen.address.clone());
                        device.user_agent = Some(seen.user_agent.clone());
                    });
                }
            }
            UserRecord::DeviceKeysSet(set) => self.set_device_keys(set),
            UserRecord::OneTimeKeysAdded(added) => self.add_keys(added),
            UserRecord::FallbackKeysSet(set) => self.change_device(&set.device_id, |device| {
                for (key_id, json) in &set.keys {
                    device.set_fallback(key_id, text(json));
                }
            }),
            UserRecord::KeysClaimed(claimed) => claimed.iter().for_each(|key| self.claim(key)),
            UserRecord::OneTimeKeysDropped(device_id) => {
                self.change_device(device_id, |device| device.one_time.drop_waiting());
            }
            UserRecord::DehydratedDeviceSet(set) => {
                self.dehydrated = Some(Dehydrated {
                    device_id: set.device_id.as_str().into(),
                    data: text(&set.data),
                });
            }
            UserRecord::CrossSigningKeysSet(set) => self.set_cross_signing(set),
            UserRecord::SignaturesAdded(keys) => {
                keys.iter().for_each(|key| self.sign(sequence, key));
            }
            _ => {}
        }
    }

    fn set_device_keys(&mut self, set: &DeviceKeysSet) {
        // What others signed was the older keys.
        self.signatures
            .remove(&(self.user_id.to_string(), set.device_id.clone()));
        self.change_device(&set.device_id, |device| device.keys = Some(text(&set.json)));
    }

    fn add_keys(&mut self, added: &OneTimeKeysAdded) {
        self.change_device(&added.device_id, |device| {
            for (key_id, json) in &added.keys {
                device.one_time.add(key_id, text(json));
            }
        });
    }

    fn claim(&mut self, claimed: &KeyClaimed) {
        self.change_device(&claimed.device_id, |device| {
            if claimed.fallback {
                device.use_fallback(&claimed.key_id);
            } else {
                device.one_time.take(&claimed.key_id);
            }
        });
    }

    fn set_cross_signing(&mut self, set: &CrossSigningKeysSet) {
        let keys = &mut self.cross_signing;
        for (key, new) in [
            (&mut keys.master, &set.master),
            (&mut keys.self_signing, &set.self_signing),
            (&mut keys.user_signing, &set.user_signing),
        ] {
            if let Some(json) = new {
                *key = Some(text(json));
            }
        }
    }

    fn sign(&mut self, sequence: Sequence, signed: &SignedKey) {
        let name = (signed.user_id.clone(), signed.key_id.clone());
        let mut signatures = JsonObject::new();
        if let Some(known) = self.signatures.get(&name) {
            json::merge_signatures(&mut signatures, &known.json);
        }
        json::merge_signatures(&mut signatures, &text(&signed.signatures));
        let signed = Signed {
            json: serde_json::Value::Object(signatures).to_string().into(),
            sequence,
        };
        if name.0 != self.user_id.as_str() {
            self.signed_others = sequence;
        }
        self.signatures.insert(name, signed);
    }

    /// What was the device's goes with it: tokens, keys, messages, and what others said of its keys.
    fn remove_device(&mut self, device_id: &str) {
        self.devices.remove(<&DeviceId>::from(device_id));
        self.tokens.revoke_device(device_id.into());
        self.signatures
            .remove(&(self.user_id.to_string(), device_id.to_owned()));
        self.dehydrated
            .take_if(|dehydrated| dehydrated.device_id.as_str() == device_id);
    }
}
