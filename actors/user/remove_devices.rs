//! Log devices out: their tokens, keys and waiting messages go with them.

use std::collections::BTreeSet;

use playhouse_schema::record::user::UserRecord;
use ruma::{DeviceId, OwnedDeviceId};

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide_some(
    user: &User,
    device_ids: Vec<OwnedDeviceId>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let known: BTreeSet<_> = device_ids
        .into_iter()
        .filter(|device_id| user.device(device_id).is_some())
        .collect();
    let records = known.iter().map(|device_id| removed(device_id)).collect();
    Ok(Decision::new(records, UserReply::Done))
}

pub(super) fn decide_all(
    user: &User,
    except: Option<&DeviceId>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    Ok(Decision::new(all_but(user, except), UserReply::Done))
}

/// Removes all devices but one.
pub(super) fn all_but(user: &User, except: Option<&DeviceId>) -> Vec<UserRecord> {
    user.devices
        .keys()
        .filter(|device_id| Some(&***device_id) != except)
        .map(|device_id| removed(device_id))
        .collect()
}

fn removed(device_id: &DeviceId) -> UserRecord {
    UserRecord::DeviceRemoved(device_id.to_string())
}

/// Removes the devices that were not seen since a time, unless they hold what the user may still need: a dehydrated device waits without being seen.
pub(super) fn decide_stale(
    user: &User,
    suspected: Vec<(String, u64)>,
    since_ms: u64,
) -> Decision<User> {
    let dehydrated = user.dehydrated.as_ref().map(|device| &device.device_id);
    let stale: BTreeSet<OwnedDeviceId> = suspected
        .into_iter()
        .map(|(device_id, known_ms)| (OwnedDeviceId::from(device_id), known_ms))
        .filter(|(device_id, known_ms)| {
            let device = user.device(device_id);
            let seen_ms = device.map(|device| device.last_seen_ms.unwrap_or(0).max(*known_ms));
            Some(device_id) != dehydrated && seen_ms.is_some_and(|seen_ms| seen_ms < since_ms)
        })
        .map(|(device_id, _)| device_id)
        .collect();
    let records = stale.iter().map(|device_id| removed(device_id)).collect();
    Decision::new(records, UserReply::Done)
}
