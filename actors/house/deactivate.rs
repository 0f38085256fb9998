//! Closing accounts.

use ruma::UserId;

use super::{House, HouseError};
use crate::{
    backup::BackupCommand,
    user::{UserCommand, UserError},
};

impl House {
    /// Closes an account for ever. Sessions end at once; leaving the rooms follows from the log. Doing it again changes nothing.
    pub async fn deactivate(&self, user_id: &UserId, erase: bool) -> Result<(), HouseError> {
        let command = UserCommand::Deactivate { erase };
        match self.user_command(user_id, command).await {
            Ok(_) | Err(UserError::Deactivated) => {}
            Err(error) => return Err(error.into()),
        }
        // After the account, so that nobody can begin another backup; a repeated call makes up for one that was cut off here.
        self.backup_command(user_id, BackupCommand::DeleteAll)
            .await?;
        self.clear_delayed_events(user_id).await?;
        Ok(())
    }
}
