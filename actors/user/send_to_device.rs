//! End a sending to devices: its messages to local users are with them, those to users of other servers are kept with the word that it is done.

use playhouse_schema::record::user::{RemoteToDevice, ToDeviceSent, UserRecord};

use super::{
    error::UserError,
    json,
    message::{SendToDevice, UserReply},
    note_transaction,
    state::User,
};
use crate::kernel::Decision;

pub(super) fn decide(user: &User, sending: SendToDevice) -> Result<Decision<User>, UserError> {
    user.open()?;
    let mut decision = match &sending.device_id {
        Some(device_id) => note_transaction::decide(user, device_id, sending.transaction_id)?,
        None => Decision::unchanged(UserReply::Done),
    };
    let is_repeat = sending.device_id.is_some() && decision.records.is_empty();
    if is_repeat || sending.remote.is_empty() {
        return Ok(decision);
    }
    let mut messages = Vec::with_capacity(sending.remote.len());
    for (user_id, device_id, content) in sending.remote {
        json::object(&content)?;
        messages.push(RemoteToDevice {
            user_id: user_id.to_string(),
            device_id,
            content: json::bytes(content),
        });
    }
    decision
        .records
        .push(UserRecord::ToDeviceSent(ToDeviceSent {
            device_id: sending.device_id.map(|device_id| device_id.to_string()),
            message_id: sending.message_id,
            event_type: sending.event_type,
            messages,
        }));
    Ok(decision)
}
