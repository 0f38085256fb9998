//! End-to-end encryption keys of users and their devices.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{
    House, HouseError,
    remote_keys::{Claimed, Failures},
    surprise,
};
use crate::{
    room::message::JsonText,
    user::{
        UserAnswer, UserCommand, UserError, UserQuery, UserReply, identity,
        message::{IdentityKeys, UploadKeys},
    },
};

/// So many users are asked at once.
const USERS_AT_ONCE: usize = 32;

/// One question may name so many users: each is an actor that may have to be woken. Clients ask for some hundreds.
const USERS_MAX: usize = 10_000;

/// By user: of this server, and of others.
type Parted<T> = (BTreeMap<OwnedUserId, T>, BTreeMap<OwnedUserId, T>);

/// Identity keys that were asked for.
#[derive(Clone, Debug, Default)]
pub struct FoundKeys {
    /// Per user and device the `device_keys` object. Every user that was asked for is there but those of servers that failed: clients ask again and again
    /// for one that is not.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, JsonText>>,
    /// Per user the master key, with the owner's signatures and those of who asks.
    pub master_keys: BTreeMap<OwnedUserId, JsonText>,
    /// Per user the self-signing key.
    pub self_signing_keys: BTreeMap<OwnedUserId, JsonText>,
    /// The user-signing key of who asks.
    pub user_signing_keys: BTreeMap<OwnedUserId, JsonText>,
    /// Servers that gave no answer, and why.
    pub failures: Failures,
}

/// One-time keys that were claimed.
#[derive(Clone, Debug, Default)]
pub struct ClaimedKeys {
    /// Per user and device the keys as JSON, by key ID with its algorithm.
    pub one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, JsonText>>>,
    /// Servers that gave no answer, and why.
    pub failures: Failures,
}

/// Device lists that changed between two sync tokens.
#[derive(Clone, Debug, Default)]
pub struct ChangedKeys {
    /// Users whose keys changed.
    pub changed: Vec<OwnedUserId>,
    /// Users with whom no room is shared any more.
    pub left: Vec<OwnedUserId>,
}

impl FoundKeys {
    fn add(&mut self, asker: &UserId, user_id: OwnedUserId, keys: IdentityKeys) {
        if let Some(master) = keys.master {
            self.master_keys.insert(user_id.clone(), master);
        }
        if let Some(key) = keys.self_signing {
            self.self_signing_keys.insert(user_id.clone(), key);
        }
        if let Some(key) = keys.user_signing.filter(|_| user_id == asker) {
            self.user_signing_keys.insert(user_id.clone(), key);
        }
        let devices = keys.devices.into_iter().collect();
        self.device_keys.insert(user_id, devices);
    }

    /// Adds a signature of who asks to another's master key.
    fn sign(&mut self, user_id: &UserId, key_id: &str, signatures: &str) {
        let Some(master) = self.master_keys.get_mut(user_id) else {
            return;
        };
        let Ok(mut key) = serde_json::from_str::<crate::env::JsonObject>(master) else {
            return;
        };
        let is_signed = key
            .get("keys")
            .and_then(|keys| keys.as_object())
            .is_some_and(|keys| keys.values().any(|public| public == key_id));
        // What was signed may have been replaced since.
        if is_signed {
            identity::add_signatures(&mut key, signatures);
            *master = serde_json::Value::Object(key).to_string();
        }
    }
}

impl House {
    /// Identity keys of devices; an empty list asks for all devices of the user. Other servers have so much time to answer.
    pub async fn query_keys(
        &self,
        asker: &UserId,
        wanted: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
        within: Duration,
    ) -> Result<FoundKeys, HouseError> {
        let mut found = FoundKeys::default();
        let others: Vec<_> = wanted
            .keys()
            .filter(|user_id| **user_id != *asker)
            .cloned()
            .collect();
        let (local, remote) = self.parted(wanted)?;
        let ours = self.query_local_keys(local);
        let theirs = self.query_remote_keys(asker, remote, within);
        let (ours, (known, (theirs, failures))) = tokio::join!(ours, theirs);
        found.failures = failures;
        for (user_id, keys) in ours?.into_iter().chain(known).chain(theirs) {
            found.add(asker, user_id, keys);
        }
        if !others.is_empty() && !found.master_keys.is_empty() {
            self.add_own_signatures(asker, others, &mut found).await?;
        }
        Ok(found)
    }

    /// What is known here, and what had to be asked.
    async fn query_remote_keys(
        &self,
        asker: &UserId,
        mut wanted: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
        within: Duration,
    ) -> (
        BTreeMap<OwnedUserId, IdentityKeys>,
        (BTreeMap<OwnedUserId, IdentityKeys>, Failures),
    ) {
        let known = self.known_keys(&mut wanted).await;
        let unknown = wanted.keys().cloned().collect();
        let asked = self.query_keys_of_others(wanted, within).await;
        self.fetch_devices_later(asker, unknown);
        (known, asked)
    }

    async fn query_local_keys(
        &self,
        local: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<Vec<(OwnedUserId, IdentityKeys)>, HouseError> {
        let questions: Vec<_> = local
            .into_iter()
            .map(|(user_id, devices)| {
                async move {
                    let query = UserQuery::IdentityKeys(devices);
                    match self.user_query(&user_id, query).await {
                        Ok(UserAnswer::IdentityKeys(keys)) => Ok((user_id, *keys)),
                        Ok(_) => Err(surprise("IdentityKeys")),
                        Err(UserError::UnknownUser | UserError::Deactivated) => {
                            Ok((user_id, IdentityKeys::default()))
                        }
                        Err(error) => Err(HouseError::from(error)),
                    }
                }
                .boxed()
            })
            .collect();
        let answers = stream::iter(questions).buffer_unordered(USERS_AT_ONCE);
        answers.try_collect().await
    }

    /// What a user signed of others' keys is for its own eyes.
    async fn add_own_signatures(
        &self,
        asker: &UserId,
        others: Vec<OwnedUserId>,
        found: &mut FoundKeys,
    ) -> Result<(), HouseError> {
        match self
            .user_query(asker, UserQuery::SignaturesOn(others))
            .await
        {
            Ok(UserAnswer::Signatures(signatures)) => {
                for (user_id, key_id, signatures) in signatures {
                    found.sign(&user_id, &key_id, &signatures);
                }
                Ok(())
            }
            Ok(_) => Err(surprise("SignaturesOn")),
            // A user of an application service may not be an account here.
            Err(UserError::UnknownUser) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Claims a one-time key for each time that a device and an algorithm are named together. Other servers, which have so much time to answer, give one
    /// for each device.
    pub async fn claim_keys(
        &self,
        wanted: BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>,
        within: Duration,
    ) -> Result<ClaimedKeys, HouseError> {
        let mut claimed = ClaimedKeys::default();
        let (local, remote) = self.parted(wanted)?;
        let ours = self.claim_local_keys(local);
        let theirs = self.claim_keys_of_others(remote, within);
        let (ours, (theirs, failures)) = tokio::join!(ours, theirs);
        claimed.failures = failures;
        for (user_id, keys) in ours?.into_iter().chain(theirs) {
            for (device_id, key_id, key) in keys {
                let of_user = claimed.one_time_keys.entry(user_id.clone()).or_default();
                of_user.entry(device_id).or_default().insert(key_id, key);
            }
        }
        Ok(claimed)
    }

    async fn claim_local_keys(
        &self,
        local: BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>,
    ) -> Result<Claimed, HouseError> {
        let commands: Vec<_> = local
            .into_iter()
            .map(|(user_id, devices)| {
                async move {
                    let command = UserCommand::ClaimKeys(devices);
                    match self.user_command(&user_id, command).await {
                        Ok(UserReply::Claimed(keys)) => Ok((user_id, keys)),
                        Ok(_) => Err(surprise("ClaimKeys")),
                        Err(UserError::UnknownUser | UserError::Deactivated) => {
                            Ok((user_id, Vec::new()))
                        }
                        Err(error) => Err(HouseError::from(error)),
                    }
                }
                .boxed()
            })
            .collect();
        let answers = stream::iter(commands).buffer_unordered(USERS_AT_ONCE);
        answers.try_collect().await
    }

    /// Parts local users from others.
    fn parted<T>(&self, wanted: BTreeMap<OwnedUserId, T>) -> Result<Parted<T>, HouseError> {
        if wanted.len() > USERS_MAX {
            return Err(UserError::TooLarge("too many users at once".to_owned()).into());
        }
        let is_ours = |user_id: &OwnedUserId| self.is_local(user_id.server_name());
        Ok(wanted
            .into_iter()
            .partition(|(user_id, _)| is_ours(user_id)))
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

    /// Whose device lists changed after one sync token; the other, newer one is taken as the hint that it is: changes after it are told too.
    pub async fn key_changes(
        &self,
        user_id: &UserId,
        from: String,
        to: String,
    ) -> Result<ChangedKeys, HouseError> {
        let query = UserQuery::KeyChanges { from, to };
        match self.user_query(user_id, query).await? {
            UserAnswer::KeyChanges { changed, left } => Ok(ChangedKeys { changed, left }),
            _ => Err(surprise("KeyChanges")),
        }
    }
}
