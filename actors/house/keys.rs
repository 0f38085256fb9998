//! End-to-end encryption keys of other users' devices.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    room::message::JsonText,
    user::{UserAnswer, UserCommand, UserError, UserQuery, UserReply, message::UploadKeys},
};

/// Identity keys that were asked for.
#[derive(Clone, Debug, Default)]
pub struct FoundKeys {
    /// Per user and device the `device_keys` object.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, JsonText>>,
    /// Servers that could not be asked.
    pub failures: BTreeSet<OwnedServerName>,
}

/// One-time keys that were claimed.
#[derive(Clone, Debug, Default)]
pub struct ClaimedKeys {
    /// Per user and device the key ID with its algorithm, and the key as JSON.
    pub one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, (String, JsonText)>>,
    /// Servers that could not be asked.
    pub failures: BTreeSet<OwnedServerName>,
}

impl House {
    /// Identity keys of devices; an empty list asks for all devices of the user.
    pub async fn query_keys(
        &self,
        wanted: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<FoundKeys, HouseError> {
        let mut found = FoundKeys::default();
        for (user_id, devices) in wanted {
            if !self.is_local(user_id.server_name()) {
                found.failures.insert(user_id.server_name().to_owned());
                continue;
            }
            match self.user_query(&user_id, UserQuery::Keys(devices)).await {
                Ok(UserAnswer::Keys(keys)) => {
                    found
                        .device_keys
                        .insert(user_id, keys.into_iter().collect());
                }
                Ok(_) => return Err(surprise("Keys")),
                Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// Claims a one-time key per named device and algorithm.
    pub async fn claim_keys(
        &self,
        wanted: BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>,
    ) -> Result<ClaimedKeys, HouseError> {
        let mut claimed = ClaimedKeys::default();
        for (user_id, devices) in wanted {
            if !self.is_local(user_id.server_name()) {
                claimed.failures.insert(user_id.server_name().to_owned());
                continue;
            }
            match self
                .user_command(&user_id, UserCommand::ClaimKeys(devices))
                .await
            {
                Ok(UserReply::Claimed(keys)) => {
                    let keys = keys
                        .into_iter()
                        .map(|(device_id, key_id, key)| (device_id, (key_id, key)))
                        .collect();
                    claimed.one_time_keys.insert(user_id, keys);
                }
                Ok(_) => return Err(surprise("ClaimKeys")),
                Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(claimed)
    }

    /// Publishes keys of a device; gives the number of one-time keys left per algorithm.
    pub async fn upload_keys(
        &self,
        user_id: &UserId,
        keys: UploadKeys,
    ) -> Result<Vec<(String, u64)>, HouseError> {
        let command = UserCommand::UploadKeys(Box::new(keys));
        match self.user_command(user_id, command).await? {
            UserReply::KeyCounts(counts) => Ok(counts),
            _ => Err(surprise("UploadKeys")),
        }
    }
}
