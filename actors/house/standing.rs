//! How what administrators change stands: noted before a change and after it.

use playhouse_schema::record::{admin::ChangeTarget, standing::RateOverride};
use ruma::{RoomId, ServerName, UserId};
use serde_json::{Map, Value, json};

use super::{House, HouseError, MediaName};
use crate::{
    admins::AdminError,
    kernel::Unavailable,
    media::MediaError,
    purges::PurgeError,
    registration::{RegistrationAnswer, RegistrationError, RegistrationQuery},
    user::UserError,
};

impl House {
    /// How something stands; `None` where there is no such thing, or this server cannot tell.
    pub async fn standing_of(
        &self,
        target: &ChangeTarget,
    ) -> Result<Option<Map<String, Value>>, HouseError> {
        let told = match target.kind.as_str() {
            "user" => self.standing_of_user(&target.name).await,
            "room" => self.standing_of_room(&target.name).await,
            "media" => self.standing_of_media(&target.name).await,
            "registration_token" => self.standing_of_token(&target.name).await,
            "policy" => self.standing_of_policy(&target.name).await,
            "policy_run" => self.standing_of_policy_run(&target.name).await,
            _ => Ok(Value::Null),
        };
        match told {
            Ok(Value::Object(fields)) => Ok(Some(fields)),
            Ok(_) => Ok(None),
            Err(error) if is_passing(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn standing_of_user(&self, name: &str) -> Result<Value, HouseError> {
        let Ok(user_id) = <&UserId>::try_from(name) else {
            return Ok(Value::Null);
        };
        let account = self.account(user_id).await?;
        let profile = match account.deactivated {
            true => Vec::new(),
            false => self.profile(user_id).await?,
        };
        let text = |name: &str| {
            let field = profile.iter().find(|(field, _)| field == name);
            let value = field.map(|(_, json)| serde_json::from_str(json));
            value.and_then(Result::ok).unwrap_or(Value::Null)
        };
        Ok(json!({
            "admin": account.admin,
            "locked": account.locked,
            "suspended": account.suspended,
            "shadow_banned": account.shadow_banned,
            "deactivated": account.deactivated,
            "erased": account.erased,
            "user_type": account.user_type,
            "rate": account.rate.map(rate_shown),
            "displayname": text("displayname"),
            "avatar_url": text("avatar_url"),
        }))
    }

    async fn standing_of_room(&self, name: &str) -> Result<Value, HouseError> {
        let Ok(room_id) = <&RoomId>::try_from(name) else {
            return Ok(Value::Null);
        };
        let by = self.room_block(room_id).await?;
        Ok(json!({"blocked": by.is_some(), "blocked_by": by}))
    }

    async fn standing_of_media(&self, name: &str) -> Result<Value, HouseError> {
        let Some(name) = media_named(name) else {
            return Ok(Value::Null);
        };
        let facts = self.media_facts(&name).await?;
        Ok(json!({
            "quarantined": facts.quarantined_by.is_some(),
            "quarantined_by": facts.quarantined_by,
            "protected": facts.protected,
            "is_there": facts.uploaded.is_some(),
        }))
    }

    async fn standing_of_token(&self, name: &str) -> Result<Value, HouseError> {
        let query = RegistrationQuery::One(name.to_owned());
        let RegistrationAnswer::Tokens(found) = self.registration_query(query).await? else {
            return Ok(Value::Null);
        };
        let shown = found.first().map(|known| {
            json!({
                "uses_allowed": known.token.uses_max,
                "expiry_time": known.token.expires_ms,
                "completed": known.completed,
            })
        });
        Ok(shown.unwrap_or(Value::Null))
    }
}

/// A piece of media, as a change names it: server name, slash, media ID.
pub(super) fn media_named(name: &str) -> Option<MediaName> {
    let (server_name, media_id) = name.split_once('/')?;
    let server_name = <&ServerName>::try_from(server_name).ok()?;
    Some(MediaName::new(server_name, media_id))
}

fn rate_shown(rate: RateOverride) -> Value {
    json!({"messages_per_second": rate.per_second, "burst_count": rate.burst})
}

/// Asked again it may be known.
fn is_passing(error: &HouseError) -> bool {
    match error {
        HouseError::User(UserError::Unavailable(error))
        | HouseError::Media(MediaError::Unavailable(error))
        | HouseError::Purge(PurgeError::Unavailable(error))
        | HouseError::Admin(AdminError::Unavailable(error))
        | HouseError::Registration(RegistrationError::Unavailable(error)) => {
            *error != Unavailable::Damaged
        }
        HouseError::Store(_)
        | HouseError::Broken(_)
        | HouseError::Lagging(_)
        | HouseError::Busy => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_is_asked_again() {
        let cases: [(HouseError, bool); 6] = [
            (UserError::Unavailable(Unavailable::Stopped).into(), true),
            (MediaError::Unavailable(Unavailable::Stopped).into(), true),
            (PurgeError::Unavailable(Unavailable::Stopped).into(), true),
            (
                RegistrationError::Unavailable(Unavailable::Stopped).into(),
                true,
            ),
            (
                RegistrationError::Unavailable(Unavailable::Damaged).into(),
                false,
            ),
            (RegistrationError::Unknown.into(), false),
        ];
        for (error, passing) in cases {
            assert_eq!(is_passing(&error), passing, "{error}");
        }
    }
}
