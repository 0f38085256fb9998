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
