//! Pushers, of which several users may have ones with the same key.

use playhouse_schema::models::{
    Model as _,
    pushers::{Pushers, owners},
};
use ruma::{DeviceId, UserId};

use super::{House, HouseError};
use crate::{
    room::message::JsonText,
    user::{UserCommand, UserError},
};

/// A pusher that somebody wants.
#[derive(Clone, Debug)]
pub struct PusherWish {
    /// The application.
    pub app_id: String,
    /// The key under which the application is reached.
    pub pushkey: String,
    /// All of it, as it is told to clients.
    pub json: JsonText,
    /// Others may have pushers with the same application and key.
    pub append: bool,
}

impl House {
    /// Sets a pusher. Unless it is to be appended, those of other users with the same application and key end.
    pub async fn set_pusher(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
        wish: PusherWish,
    ) -> Result<(), HouseError> {
        let set = UserCommand::SetPusher {
            pusher: wish.json,
            device_id: device_id.map(ToOwned::to_owned),
        };
        self.user_command(user_id, set).await?;
        if wish.append {
            return Ok(());
        }
        self.models.caught_up(Pushers::NAME).await?;
        let others = owners(&**self.models.store(), &wish.app_id, &wish.pushkey).await?;
        for other in others.iter().filter(|other| **other != *user_id) {
            let Ok(other) = UserId::parse(other) else {
                continue;
            };
            let remove = UserCommand::RemovePusher {
                app_id: wish.app_id.clone(),
                pushkey: wish.pushkey.clone(),
            };
            match self.user_command(&other, remove).await {
                // Whose account is closed has no pushers.
                Ok(_) | Err(UserError::Deactivated | UserError::UnknownUser) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
