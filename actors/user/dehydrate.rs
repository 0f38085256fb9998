//! The dehydrated device (MSC3814): it collects keys while none of the user's devices is there, and a client makes a device of its own of it later.
//!
//! It is a device like others, but for having no token: messages and keys reach it in the same way, within the same bounds. What it collected is not
//! deleted by being read, since the client that reads may fail half-way; it goes with the device.

use playhouse_schema::record::user::{DehydratedDeviceSet, DeviceAdded, UserRecord};
use ruma::DeviceId;

use super::{
    context::UserLimits,
    device::DeviceState,
    error::UserError,
    json,
    message::{SetDehydratedDevice, ToDeviceIndex, UserAnswer, UserReply},
    state::User,
    upload_keys,
};
use crate::kernel::Decision;

/// The pickled private parts: some kilobytes, and more with many one-time keys.
const DATA_BYTES_MAX: usize = 256 * 1024;

const DEVICE_ID_BYTES_MAX: usize = 255;

pub(super) fn decide_set(
    user: &User,
    wanted: SetDehydratedDevice,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let device_id = wanted.keys.device_id.clone();
    if device_id.as_str().is_empty() || device_id.as_str().len() > DEVICE_ID_BYTES_MAX {
        return Err(UserError::InvalidParam(
            "a device ID has 1 to 255 bytes".to_owned(),
        ));
    }
    if wanted.keys.device_keys.is_none() {
        return Err(UserError::MissingParam("device_keys is missing".to_owned()));
    }
    if wanted.data.len() > DATA_BYTES_MAX {
        return Err(UserError::TooLarge("device_data is too large".to_owned()));
    }
    json::object(&wanted.data)?;
    let former = user.dehydrated.as_ref().map(|device| &device.device_id);
    if former != Some(&device_id) && user.device(&device_id).is_some() {
        return Err(UserError::InvalidParam("device ID is in use".to_owned()));
    }
    if former.is_none() && user.devices.len() >= limits.devices_max {
        return Err(UserError::TooLarge("too many devices".to_owned()));
    }
    let mut records: Vec<_> = former
        .map(|device_id| UserRecord::DeviceRemoved(device_id.to_string()))
        .into_iter()
        .collect();
    records.push(UserRecord::DeviceAdded(DeviceAdded {
        device_id: device_id.to_string(),
        display_name: wanted.display_name,
    }));
    let blank = DeviceState::new(device_id.clone(), user.sequence);
    let (keys, _) = upload_keys::records(user, &blank, wanted.keys, limits)?;
    records.extend(keys);
    records.push(UserRecord::DehydratedDeviceSet(DehydratedDeviceSet {
        device_id: device_id.to_string(),
        data: json::bytes(wanted.data),
    }));
    Ok(Decision::new(records, UserReply::Done))
}

pub(super) fn decide_remove(user: &User) -> Result<Decision<User>, UserError> {
    user.open()?;
    let device = user.dehydrated.as_ref().ok_or(UserError::NotFound)?;
    let records = vec![UserRecord::DeviceRemoved(device.device_id.to_string())];
    let reply = UserReply::DeviceId(device.device_id.clone());
    Ok(Decision::new(records, reply))
}

/// Messages that wait for it.
pub(super) fn events(
    user: &User,
    device_id: &DeviceId,
    after: ToDeviceIndex,
    limit: usize,
) -> Result<UserAnswer, UserError> {
    let is_it = user
        .dehydrated
        .as_ref()
        .is_some_and(|device| device.device_id == device_id);
    let device = user
        .device(device_id)
        .filter(|_| is_it)
        .ok_or_else(|| UserError::Forbidden("this is not your dehydrated device".to_owned()))?;
    let (messages, end) = device.inbox.durable_after(after, user.sequence, limit);
    let messages = messages.iter().map(ToString::to_string).collect();
    Ok(UserAnswer::ToDevice(messages, end.unwrap_or(after)))
}
