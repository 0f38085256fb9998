//! Profiles and names of rooms, as other servers tell them.

use std::time::Duration;

use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId, UserId};
use serde::Deserialize;

use super::{
    House, HouseError, ResolvedAlias,
    peers::{Patience, segment},
};
use crate::{
    alias::AliasError, env::JsonObject, network::PeerError, room::message::JsonText,
    user::UserError,
};

/// How a profile or a name is asked for.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(10),
    bytes_max: 512 * 1024,
};

/// What was told is believed for so long.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A profile has no more fields, and they have no more bytes together (client-server API, "Profiles").
const PROFILE_MAX: (usize, usize) = (200, 64 * 1024);

/// So many servers are named for a room.
const SERVERS_MAX: usize = 100;

#[derive(Deserialize)]
struct Named {
    room_id: OwnedRoomId,
    #[serde(default)]
    servers: Vec<String>,
}

/// The fields of a profile, as far as they are some.
fn fields(profile: JsonObject) -> Vec<(String, JsonText)> {
    let mut left = PROFILE_MAX.1;
    let mut fields = Vec::new();
    for (name, value) in profile.into_iter().take(PROFILE_MAX.0) {
        // Servers tell in this way that somebody has no name or picture.
        let is_text = matches!(name.as_str(), "displayname" | "avatar_url");
        if value.is_null() || (is_text && !value.is_string()) {
            continue;
        }
        let value = value.to_string();
        let Some(rest) = left.checked_sub(name.len() + value.len()) else {
            break;
        };
        left = rest;
        fields.push((name, value));
    }
    fields
}

impl House {
    /// All fields of the profile of another server's user. `UserError::UnknownUser` when it says that there is none.
    pub(super) async fn remote_profile(
        &self,
        user_id: &UserId,
    ) -> Result<Vec<(String, JsonText)>, HouseError> {
        let path = format!(
            "/_matrix/federation/v1/query/profile?user_id={}",
            segment(user_id.as_str())
        );
        let server = user_id.server_name();
        let asked = self.ask_peer_once::<JsonObject>(server, path, (PATIENCE, KEPT_FOR));
        match asked.await {
            Ok(profile) => Ok(fields(profile)),
            Err(PeerError::Refused { status: 404, .. }) => Err(UserError::UnknownUser.into()),
            Err(PeerError::Refused { status: 403, .. }) => Err(HouseError::Forbidden(
                "the user's server does not tell this profile".to_owned(),
            )),
            Err(error) => {
                tracing::debug!(%user_id, %error, "no profile");
                Err(HouseError::Unreachable(server.to_owned()))
            }
        }
    }

    /// Where another server's alias points. `AliasError::Unknown` when it says nowhere.
    pub(super) async fn resolve_remote_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<ResolvedAlias, HouseError> {
        let path = format!(
            "/_matrix/federation/v1/query/directory?room_alias={}",
            segment(alias.as_str())
        );
        let server = alias.server_name();
        match self.ask_peer::<Named>(server, path, PATIENCE).await {
            Ok(named) => {
                // Who has the name knows the room.
                let mut servers = vec![server.to_owned()];
                let others = named.servers.into_iter();
                let others = others.filter_map(|name| OwnedServerName::try_from(name).ok());
                servers.extend(others.filter(|name| name != server).take(SERVERS_MAX));
                Ok(ResolvedAlias {
                    room_id: named.room_id,
                    servers,
                })
            }
            Err(PeerError::Refused { status: 404, .. }) => Err(AliasError::Unknown.into()),
            Err(error) => {
                tracing::debug!(%alias, %error, "an alias is not resolved");
                Err(HouseError::Unreachable(server.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn profiles_are_bounded() {
        let told = |value| match value {
            serde_json::Value::Object(object) => fields(object),
            _ => Vec::new(),
        };
        let fine = told(json!({ "displayname": "Bob", "avatar_url": null, "m.tz": "UTC" }));
        assert_eq!(fine.len(), 2);
        assert!(told(json!({ "displayname": { "a": 1 } })).is_empty());
        let large = told(json!({ "displayname": "x".repeat(PROFILE_MAX.1) }));
        assert!(large.is_empty());
        let many: JsonObject = (0..1_000).map(|n| (n.to_string(), json!(n))).collect();
        assert_eq!(fields(many).len(), PROFILE_MAX.0);
    }
}
