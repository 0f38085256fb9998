//! Lists of media for administrators, and what must be known to delete.

use playhouse_schema::models::{
    Model as _, media as kept,
    media_lists::{self, MediaOrder, UnusedMedia},
    room_facts::RoomFacts,
    user_names::UserNames,
};
use ruma::UserId;

use super::{House, HouseError, MediaName};

impl House {
    /// What a user has uploaded, so many pieces after the first ones, and how many there are in all.
    pub async fn media_of_user(
        &self,
        user_id: &UserId,
        order: (MediaOrder, bool),
        page: (u64, u64),
    ) -> Result<(Vec<kept::KeptMedia>, u64), HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        let store = &**self.models.store();
        let total = media_lists::count_of_user(store, user_id.as_str()).await?;
        let listed = media_lists::of_user(store, user_id.as_str(), order, page).await?;
        Ok((listed, total))
    }

    /// Media that nobody has used for long, the longest first, with the time of its last use. It goes on after another, of which the key is given.
    pub async fn unused_media(
        &self,
        which: &UnusedMedia,
        after: &(u64, String),
        limit: usize,
    ) -> Result<Vec<(u64, MediaName)>, HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        if which.keep_faces_of.is_some() {
            self.models.caught_up(UserNames::NAME).await?;
            self.models.caught_up(RoomFacts::NAME).await?;
        }
        let store = &**self.models.store();
        let found = media_lists::unused(store, which, after, limit).await?;
        let named = found
            .into_iter()
            .filter_map(|(used_ms, key)| Some((used_ms, self.media_name(&key)?)));
        Ok(named.collect())
    }

    /// Whether other media has the same content as a piece.
    pub async fn is_content_shared(
        &self,
        content: &str,
        name: &MediaName,
    ) -> Result<bool, HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        let key = self.media_key(name);
        Ok(kept::others(&**self.models.store(), content, &key).await? > 0)
    }

    /// Whether any media has this content, of what was recorded before this was asked, on any node.
    pub async fn is_content_named(&self, content: &str) -> Result<bool, HouseError> {
        self.models.caught_up(kept::Media::NAME).await?;
        // No piece of media has an empty name.
        Ok(kept::others(&**self.models.store(), content, "").await? > 0)
    }

    /// How addresses of media of this server begin.
    pub fn media_uri_beginning(&self) -> String {
        format!("mxc://{}/", self.env.server_name())
    }
}
