//! Delete to-device messages that a sync has delivered.

use playhouse_schema::record::user::{ToDeviceAcknowledged, UserRecord};
use ruma::DeviceId;

use super::{
    error::UserError,
    message::{ToDeviceIndex, UserReply},
    state::User,
};
use crate::kernel::Decision;

pub(super) fn decide(
    user: &User,
    device_id: &DeviceId,
    until: ToDeviceIndex,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    // An index from the future, out of a database that was restored since, must not delete what is still to come.
    let until = until.min(ToDeviceIndex {
        sequence: user.sequence,
        partial: 0,
    });
    let ends_some = user
        .device(device_id)
        .is_some_and(|device| device.inbox.has_before(until));
    if !ends_some {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let acknowledged = ToDeviceAcknowledged {
        device_id: device_id.to_string(),
        sequence: until.sequence,
        partial: until.partial,
    };
    let records = vec![UserRecord::ToDeviceAcknowledged(acknowledged)];
    Ok(Decision::new(records, UserReply::Done))
}
