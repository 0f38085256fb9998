//! Remember that a transaction of a device is done.

use playhouse_schema::record::user::{TransactionDone, UserRecord};
use ruma::DeviceId;

use super::{error::UserError, message::UserReply, state::User};
use crate::kernel::Decision;

/// Endpoint name, slash, and a transaction ID as long as Matrix allows any ID.
const TRANSACTION_ID_BYTES_MAX: usize = 300;

pub(super) fn decide(
    user: &User,
    device_id: &DeviceId,
    transaction_id: String,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if transaction_id.len() > TRANSACTION_ID_BYTES_MAX {
        return Err(UserError::InvalidParam(
            "transaction ID is too long".to_owned(),
        ));
    }
    let is_news = user
        .device(device_id)
        .is_some_and(|device| !device.has_done(&transaction_id));
    if !is_news {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    let done = TransactionDone {
        device_id: device_id.to_string(),
        transaction_id,
    };
    let records = vec![UserRecord::TransactionDone(done)];
    Ok(Decision::new(records, UserReply::Done))
}
