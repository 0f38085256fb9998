//! Messages from device to device.

use std::collections::BTreeMap;

use ruma::OwnedUserId;

use super::{House, HouseError, surprise};
use crate::{
    room::message::JsonText,
    user::{UserAnswer, UserCommand, UserError, UserQuery, message::Session},
};

/// Messages of one event type to devices (client-server API, `PUT /sendToDevice`).
#[derive(Clone, Debug)]
pub struct ToDeviceWish {
    /// The event type.
    pub event_type: String,
    /// The client's transaction ID.
    pub transaction_id: String,
    /// Per user: device ID or `*`, and content.
    pub messages: BTreeMap<OwnedUserId, Vec<(String, JsonText)>>,
}

impl House {
    /// Delivers messages to devices of local users. A repeated transaction does nothing. Answered when all of it is durable; a failure in between
    /// makes the client repeat it, and then a recipient may get a message twice, never not at all.
    pub async fn send_to_device(
        &self,
        session: &Session,
        wish: ToDeviceWish,
    ) -> Result<(), HouseError> {
        let transaction_id = format!("sendToDevice/{}/{}", wish.event_type, wish.transaction_id);
        let device_id = session.device_id.clone();
        if let Some(device_id) = &device_id {
            let query = UserQuery::TransactionDone {
                device_id: device_id.clone(),
                transaction_id: transaction_id.clone(),
            };
            match self.user_query(&session.user_id, query).await? {
                UserAnswer::Flag(true) => return Ok(()),
                UserAnswer::Flag(false) => {}
                _ => return Err(surprise("TransactionDone")),
            }
        }
        let unreachable = wish
            .messages
            .keys()
            .find(|user_id| !self.is_local(user_id.server_name()));
        if let Some(user_id) = unreachable {
            return Err(HouseError::Unreachable(user_id.server_name().to_owned()));
        }
        for (user_id, messages) in wish.messages {
            let command = UserCommand::QueueToDevice {
                sender: session.user_id.clone(),
                event_type: wish.event_type.clone(),
                messages,
            };
            match self.user_command(&user_id, command).await {
                // Nobody can receive it, and the sender is not told who exists.
                Ok(_) | Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(device_id) = device_id {
            let command = UserCommand::NoteTransaction {
                device_id,
                transaction_id,
            };
            self.user_command(&session.user_id, command).await?;
        }
        Ok(())
    }
}
