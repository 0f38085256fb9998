//! Profiles. That member events follow a changed name or avatar is the work of a follower of the log.

use ruma::UserId;

use super::{House, HouseError, surprise};
use crate::{
    room::message::{JsonText, MemberProfile},
    user::{UserAnswer, UserCommand, UserError, UserQuery},
};

impl House {
    /// All fields of a profile: name and JSON value. `UserError::UnknownUser` for nobody, `Unreachable` when the user's server is.
    pub async fn profile(&self, user_id: &UserId) -> Result<Vec<(String, JsonText)>, HouseError> {
        if !self.is_local(user_id.server_name()) {
            return self.remote_profile(user_id).await;
        }
        match self.user_query(user_id, UserQuery::Profile).await? {
            UserAnswer::Profile(fields) => Ok(fields),
            _ => Err(surprise("Profile")),
        }
    }

    /// One field of a profile, as JSON. `UserError::NotFound` when it is not set.
    pub async fn profile_field(
        &self,
        user_id: &UserId,
        name: &str,
    ) -> Result<JsonText, HouseError> {
        let fields = self.profile(user_id).await?;
        fields
            .into_iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
            .ok_or_else(|| UserError::NotFound.into())
    }

    /// Sets a field of a profile to a JSON value, or removes it.
    pub async fn set_profile_field(
        &self,
        user_id: &UserId,
        name: &str,
        value: Option<JsonText>,
    ) -> Result<(), HouseError> {
        let command = UserCommand::SetProfileField {
            name: name.to_owned(),
            value,
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }
}

/// What of a profile goes into member events.
pub(crate) fn as_member_profile(fields: &[(String, JsonText)]) -> MemberProfile {
    let text = |name: &str| {
        let (_, value) = fields.iter().find(|(field, _)| field == name)?;
        serde_json::from_str::<String>(value).ok()
    };
    MemberProfile {
        displayname: text("displayname"),
        avatar_url: text("avatar_url").map(Into::into),
    }
}
