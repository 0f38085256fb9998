//! Give a device another name.

use playhouse_schema::record::user::{DeviceRenamed, UserRecord};
use ruma::DeviceId;

use super::{error::UserError, login, message::UserReply, state::User};
use crate::kernel::Decision;

pub(super) fn decide(
    user: &User,
    device_id: &DeviceId,
    display_name: Option<String>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let device = user.device(device_id).ok_or(UserError::NotFound)?;
    let display_name = display_name.map(login::cut_name);
    if display_name.is_none() || display_name == device.display_name {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let renamed = DeviceRenamed {
        device_id: device_id.to_string(),
        display_name,
    };
    let records = vec![UserRecord::DeviceRenamed(renamed)];
    Ok(Decision::new(records, UserReply::Done))
}
