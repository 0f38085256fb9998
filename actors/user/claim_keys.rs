//! Give out one-time keys: in upload order, none twice; the fallback key when none is left.

use std::collections::BTreeMap;

use playhouse_schema::record::user::{KeyClaimed, UserRecord};
use ruma::{DeviceId, OwnedDeviceId};

use super::{device::DeviceState, error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide(
    user: &User,
    wanted: Vec<(OwnedDeviceId, String)>,
) -> Result<Decision<User>, UserError> {
    user.existing()?;
    let mut taken = BTreeMap::<(&DeviceId, &str), usize>::new();
    let mut claimed = Vec::new();
    let mut given = Vec::new();
    for (device_id, algorithm) in &wanted {
        let Some(device) = user.device(device_id) else {
            continue;
        };
        let before = taken.entry((&**device_id, algorithm.as_str())).or_default();
        let Some((key, json)) = next(device, algorithm, *before) else {
            continue;
        };
        *before += 1;
        given.push((device_id.clone(), key.key_id.clone(), json));
        let is_marked = key.fallback
            && device
                .fallback
                .get(algorithm)
                .is_some_and(|fallback| fallback.used);
        if !is_marked {
            claimed.push(key);
        }
    }
    let records = if claimed.is_empty() {
        Vec::new()
    } else {
        vec![UserRecord::KeysClaimed(claimed)]
    };
    Ok(Decision::new(records, UserReply::Claimed(given)))
}

/// Gives out no more of what waits. After a restore from a backup of the database the keys in it may have been given out by the life that is lost.
pub(super) fn decide_drop(user: &User, device_id: &DeviceId) -> Result<Decision<User>, UserError> {
    user.open()?;
    let has_some = user
        .device(device_id)
        .is_some_and(|device| device.one_time.waiting() > 0);
    let records = if has_some {
        vec![UserRecord::OneTimeKeysDropped(device_id.to_string())]
    } else {
        Vec::new()
    };
    Ok(Decision::new(records, UserReply::Done))
}

/// The key to give out when so many of the device and algorithm were given out by the same command.
fn next(device: &DeviceState, algorithm: &str, before: usize) -> Option<(KeyClaimed, String)> {
    let one_time = device.one_time.of(algorithm).nth(before);
    let (key_id, json, fallback) = match one_time {
        Some((key_id, json)) => (key_id, json, false),
        None => {
            let key = device.fallback.get(algorithm)?;
            (key.key_id.as_str(), &key.json, true)
        }
    };
    let claimed = KeyClaimed {
        device_id: device.device_id.to_string(),
        key_id: key_id.to_owned(),
        fallback,
    };
    Some((claimed, json.to_string()))
}
