//! Keys by user and device, as requests ask for them and answers show them.

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId};
use serde_json::value::RawValue;

use crate::edge::Failure;

/// So many keys may be asked for at once.
const KEYS_MAX: u64 = 10_000;

/// One-time keys that were claimed: by user, device and key ID.
type Claimed = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, String>>>;

/// How many keys of which algorithm are wanted, by user and device.
type Counts = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, u64>>>;

/// Claimed keys as JSON.
pub(crate) fn claimed_by_user(claimed: Claimed) -> Result<Vec<u8>, Failure> {
    let mut tree: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = BTreeMap::new();
    for (user_id, devices) in claimed {
        let of_user = tree.entry(user_id).or_default();
        for (device_id, keys) in devices {
            let of_device = of_user.entry(device_id).or_default();
            for (key_id, key) in keys {
                of_device.insert(key_id, raw(key)?);
            }
        }
    }
    serde_json::to_vec(&tree).map_err(Failure::internal)
}

/// Keys of devices as JSON.
pub(crate) fn devices_by_user(
    keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
) -> Result<Vec<u8>, Failure> {
    let mut tree: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for (user_id, devices) in keys {
        let of_user = tree.entry(user_id).or_default();
        for (device_id, keys) in devices {
            of_user.insert(device_id, raw(keys)?);
        }
    }
    serde_json::to_vec(&tree).map_err(Failure::internal)
}

/// Keys of users as JSON.
pub(crate) fn by_user(keys: BTreeMap<OwnedUserId, String>) -> Result<Vec<u8>, Failure> {
    let keys: BTreeMap<_, _> = keys
        .into_iter()
        .map(|(user_id, key)| Ok((user_id, raw(key)?)))
        .collect::<Result<_, Failure>>()?;
    serde_json::to_vec(&keys).map_err(Failure::internal)
}

/// Each algorithm as often as keys of it are wanted.
pub(crate) fn repeated(
    counts: Counts,
) -> Result<BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>, Failure> {
    let all = counts
        .values()
        .flat_map(|devices| devices.values().flat_map(BTreeMap::values));
    if all.fold(0u64, |sum, count| sum.saturating_add(*count)) > KEYS_MAX {
        return Err(Failure::invalid_param("too many keys at once"));
    }
    let wanted = counts.into_iter().map(|(user_id, devices)| {
        let keys = devices.into_iter().flat_map(|(device_id, algorithms)| {
            algorithms.into_iter().flat_map(move |(algorithm, count)| {
                std::iter::repeat_n((device_id.clone(), algorithm), count as usize)
            })
        });
        (user_id, keys.collect())
    });
    Ok(wanted.collect())
}

fn raw(json: String) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(json).map_err(Failure::internal)
}
