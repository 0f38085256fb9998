//! The dehydrated device of a user.

use ruma::{DeviceId, OwnedDeviceId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    room::message::JsonText,
    user::{
        UserAnswer, UserCommand, UserQuery, UserReply,
        message::{SetDehydratedDevice, ToDeviceIndex},
    },
};

/// So many messages one answer brings.
const EVENTS_MAX: usize = 100;

impl House {
    /// Puts a dehydrated device in the place of the one there was.
    pub async fn set_dehydrated_device(
        &self,
        user_id: &UserId,
        device: SetDehydratedDevice,
    ) -> Result<(), HouseError> {
        let command = UserCommand::SetDehydratedDevice(Box::new(device));
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Removes the dehydrated device and tells which it was.
    pub async fn remove_dehydrated_device(
        &self,
        user_id: &UserId,
    ) -> Result<OwnedDeviceId, HouseError> {
        let command = UserCommand::RemoveDehydratedDevice;
        match self.user_command(user_id, command).await? {
            UserReply::DeviceId(device_id) => Ok(device_id),
            _ => Err(surprise("RemoveDehydratedDevice")),
        }
    }

    /// The dehydrated device and its `device_data`.
    pub async fn dehydrated_device(
        &self,
        user_id: &UserId,
    ) -> Result<(OwnedDeviceId, JsonText), HouseError> {
        let query = UserQuery::DehydratedDevice;
        match self.user_query(user_id, query).await? {
            UserAnswer::Dehydrated(device_id, data) => Ok((device_id, data)),
            _ => Err(surprise("DehydratedDevice")),
        }
    }

    /// Messages that the dehydrated device collected, after what the last answer said; and where to go on.
    pub async fn dehydrated_events(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        after: ToDeviceIndex,
    ) -> Result<(Vec<JsonText>, ToDeviceIndex), HouseError> {
        let query = UserQuery::DehydratedEvents {
            device_id: device_id.to_owned(),
            after,
            limit: EVENTS_MAX,
        };
        match self.user_query(user_id, query).await? {
            UserAnswer::ToDevice(messages, next) => Ok((messages, next)),
            _ => Err(surprise("DehydratedEvents")),
        }
    }
}
