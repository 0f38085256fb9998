//! Messages from device to device.

use std::collections::BTreeMap;

use ruma::OwnedUserId;

use super::{House, HouseError, surprise};
use crate::{
    room::message::JsonText,
    user::{
        UserAnswer, UserCommand, UserError, UserQuery,
        message::{SendToDevice, Session},
    },
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
    /// Delivers messages to devices. A repeated transaction does nothing. Answered when all of it is durable.
    ///
    /// First each local recipient takes its messages in, in one record, and remembers the sending: when a failure in between makes the client repeat
    /// it, those who have it take nothing. Then the sender notes in one append that the transaction is done and what of it is for users of other
    /// servers ([`ToDeviceSent`](playhouse_schema::record::user::ToDeviceSent)); the outbox of federation follows these records.
    pub async fn send_to_device(
        &self,
        session: &Session,
        wish: ToDeviceWish,
    ) -> Result<(), HouseError> {
        // The path is part of a transaction's scope.
        let transaction_id = format!("sendToDevice/{}/{}", wish.event_type, wish.transaction_id);
        let device_id = session.device_id.clone();
        let message_id = match &device_id {
            Some(device_id) => {
                let query = UserQuery::TransactionDone {
                    device_id: device_id.clone(),
                    transaction_id: transaction_id.clone(),
                };
                match self.user_query(&session.user_id, query).await? {
                    UserAnswer::Transaction(Some(name)) => name,
                    UserAnswer::Transaction(None) => return Ok(()),
                    _ => return Err(surprise("TransactionDone")),
                }
            }
            None => self.env.random_string(32),
        };
        let mut remote = Vec::new();
        for (user_id, messages) in wish.messages {
            if !self.is_local(user_id.server_name()) {
                let of_user = messages
                    .into_iter()
                    .map(|(device, content)| (user_id.clone(), device, content));
                remote.extend(of_user);
                continue;
            }
            let command = UserCommand::QueueToDevice {
                message_id: Some(message_id.clone()),
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
        let sending = SendToDevice {
            device_id,
            transaction_id,
            message_id,
            event_type: wish.event_type,
            remote,
        };
        let command = UserCommand::SendToDevice(Box::new(sending));
        self.user_command(&session.user_id, command).await?;
        Ok(())
    }
}
