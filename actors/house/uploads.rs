//! What users may still upload.

use playhouse_schema::models::{Model as _, uploads};
use ruma::UserId;

use super::{House, HouseError};

impl House {
    /// How many bytes a user has uploaded since then, with all that was acknowledged before the question.
    pub async fn uploaded_bytes(&self, user_id: &UserId, since_ms: u64) -> Result<u64, HouseError> {
        self.models.caught_up(uploads::Uploads::NAME).await?;
        Ok(uploads::used(&**self.models.store(), user_id.as_str(), since_ms).await?)
    }

    /// How many media IDs a user has reserved and may still fill.
    pub async fn awaited_uploads(&self, user_id: &UserId) -> Result<u64, HouseError> {
        self.models.caught_up(uploads::Uploads::NAME).await?;
        let now_ms = self.env().now_ms();
        Ok(uploads::awaited(&**self.models.store(), user_id.as_str(), now_ms).await?)
    }
}
