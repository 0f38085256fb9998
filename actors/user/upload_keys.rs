//! Publish keys of a device.
//!
//! A key may be given out only once, so a key ID stands for one content for ever: the same upload again does no harm, other content is refused, also
//! when the key has long been given out.

use std::collections::BTreeMap;

use playhouse_schema::record::user::{DeviceKeysSet, OneTimeKeysAdded, UserRecord};
use ruma::CanonicalJsonValue;
use serde_json::Value as JsonValue;

use super::{
    context::UserLimits,
    device::{self, DeviceState, KeyStanding},
    error::UserError,
    json,
    message::{UploadKeys, UserReply},
    state::User,
};
use crate::{kernel::Decision, room::message::JsonText};

/// One-time keys by algorithm.
type KeyCounts = Vec<(String, u64)>;

const KEY_ID_BYTES_MAX: usize = 255;

pub(super) fn decide(
    user: &User,
    upload: UploadKeys,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let device = user.device(&upload.device_id).ok_or(UserError::NotFound)?;
    let (records, counts) = records(user, device, upload, limits)?;
    Ok(Decision::new(records, UserReply::KeyCounts(counts)))
}

/// The records of an upload, and how many one-time keys the device has then.
pub(super) fn records(
    user: &User,
    device: &DeviceState,
    upload: UploadKeys,
    limits: &UserLimits,
) -> Result<(Vec<UserRecord>, KeyCounts), UserError> {
    let device_id = upload.device_id.to_string();
    let mut records = Vec::new();
    if let Some(keys) = upload.device_keys {
        let keys = identity_keys(user, device, &keys, limits)?;
        if device.keys.as_deref() != Some(&keys) {
            records.push(UserRecord::DeviceKeysSet(DeviceKeysSet {
                device_id: device_id.clone(),
                json: json::bytes(keys),
            }));
        }
    }
    let one_time = new_one_time_keys(device, upload.one_time_keys, limits)?;
    let mut counts: BTreeMap<String, u64> = device.one_time.counts().into_iter().collect();
    if !one_time.is_empty() {
        for (key_id, _) in &one_time {
            *counts
                .entry(device::algorithm(key_id).to_owned())
                .or_default() += 1;
        }
        records.push(UserRecord::OneTimeKeysAdded(added(&device_id, one_time)));
    }
    let fallback = new_fallback_keys(device, upload.fallback_keys, limits)?;
    if !fallback.is_empty() {
        records.push(UserRecord::FallbackKeysSet(added(&device_id, fallback)));
    }
    Ok((records, counts.into_iter().collect()))
}

fn added(device_id: &str, keys: Vec<(String, String)>) -> OneTimeKeysAdded {
    OneTimeKeysAdded {
        device_id: device_id.to_owned(),
        keys: keys
            .into_iter()
            .map(|(key_id, key)| (key_id, json::bytes(key)))
            .collect(),
    }
}

/// The `device_keys` object in canonical form, when it is this device's and complete.
fn identity_keys(
    user: &User,
    device: &DeviceState,
    keys: &str,
    limits: &UserLimits,
) -> Result<String, UserError> {
    if keys.len() > limits.key_bytes_max {
        return Err(UserError::TooLarge("device_keys are too large".to_owned()));
    }
    let mut keys = json::object(keys)?;
    // What others may say about the device is not the device's to publish.
    keys.remove("unsigned");
    let is_named =
        |field: &str, wanted: &str| keys.get(field).and_then(JsonValue::as_str) == Some(wanted);
    if !is_named("user_id", user.user_id.as_str())
        || !is_named("device_id", device.device_id.as_str())
    {
        return Err(UserError::InvalidParam(
            "device_keys are of another user or device".to_owned(),
        ));
    }
    let has_algorithms = keys
        .get("algorithms")
        .and_then(JsonValue::as_array)
        .is_some_and(|algorithms| algorithms.iter().all(JsonValue::is_string));
    let has_keys = keys
        .get("keys")
        .and_then(JsonValue::as_object)
        .is_some_and(|keys| keys.values().all(JsonValue::is_string));
    let may_be_signed = keys.get("signatures").is_none_or(|signatures| {
        signatures
            .as_object()
            .is_some_and(|users| users.values().all(JsonValue::is_object))
    });
    if !(has_algorithms && has_keys && may_be_signed) {
        return Err(UserError::BadJson(
            "device_keys need algorithms, keys and signatures".to_owned(),
        ));
    }
    Ok(json::canonical(JsonValue::Object(keys))?.to_string())
}

/// The one-time keys that are new, in upload order.
fn new_one_time_keys(
    device: &DeviceState,
    uploaded: Vec<(String, JsonText)>,
    limits: &UserLimits,
) -> Result<Vec<(String, String)>, UserError> {
    let mut new = Vec::<(String, String)>::new();
    for (key_id, key) in uploaded {
        let key = checked_key(&key_id, &key, limits)?;
        let twice = new.iter().find(|(other, _)| *other == key_id);
        let standing = match twice {
            Some((_, other)) if *other == key => KeyStanding::Known,
            Some(_) => KeyStanding::Contradicts,
            None => device.one_time.standing(&key_id, &key),
        };
        match standing {
            KeyStanding::New => new.push((key_id, key)),
            KeyStanding::Known => {}
            KeyStanding::Contradicts => {
                return Err(UserError::KeyExists(key_id));
            }
        }
        // Checked inside the loop: it also bounds the search for keys that come twice.
        if device.one_time.waiting() + new.len() > limits.one_time_keys_max {
            return Err(UserError::TooLarge("too many one-time keys".to_owned()));
        }
    }
    if device.one_time.ever() + new.len() > limits.key_ids_max {
        return Err(UserError::TooLarge(
            "the device has used up its key IDs".to_owned(),
        ));
    }
    Ok(new)
}

/// The fallback keys that differ from those in place. One that was used and comes again stays used.
fn new_fallback_keys(
    device: &DeviceState,
    uploaded: Vec<(String, JsonText)>,
    limits: &UserLimits,
) -> Result<Vec<(String, String)>, UserError> {
    let mut new = BTreeMap::<String, (String, String)>::new();
    for (key_id, key) in uploaded {
        let key = checked_key(&key_id, &key, limits)?;
        let algorithm = device::algorithm(&key_id);
        let is_known = device
            .fallback
            .get(algorithm)
            .is_some_and(|known| known.key_id == key_id && *known.json == *key);
        if !is_known {
            new.insert(algorithm.to_owned(), (key_id, key));
        }
    }
    const ALGORITHMS_MAX: usize = 20;
    if device.fallback.len() + new.len() > ALGORITHMS_MAX {
        return Err(UserError::TooLarge("too many fallback keys".to_owned()));
    }
    Ok(new.into_values().collect())
}

/// A key in canonical form: a string, or an object.
fn checked_key(key_id: &str, key: &str, limits: &UserLimits) -> Result<String, UserError> {
    let is_named = key_id
        .split_once(':')
        .is_some_and(|(algorithm, name)| !algorithm.is_empty() && !name.is_empty());
    if !is_named || key_id.len() > KEY_ID_BYTES_MAX {
        return Err(UserError::InvalidParam(format!(
            "a key ID has an algorithm, a colon and a name, 255 bytes at most: {}",
            key_id.chars().take(64).collect::<String>()
        )));
    }
    if key.len() > limits.key_bytes_max {
        return Err(UserError::TooLarge("key is too large".to_owned()));
    }
    match json::canonical(json::value(key)?)? {
        key @ (CanonicalJsonValue::String(_) | CanonicalJsonValue::Object(_)) => {
            Ok(key.to_string())
        }
        _ => Err(UserError::BadJson(
            "a key is a string or an object".to_owned(),
        )),
    }
}
