//! Encryption keys of other servers' users, asked of their servers: all of them at once, each with one request.
//!
//! What an answer says of users and devices that were not asked for, or under another name than its own, is dropped. Signatures are for clients to judge.

use std::{collections::BTreeMap, future::Future, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use super::{House, peers::Patience};
use crate::{
    network::{PeerError, PeerMethod},
    room::message::JsonText,
    user::message::IdentityKeys,
};

/// So many servers are asked at once; further ones wait their turn within the same time.
const SERVERS_AT_ONCE: usize = 256;

/// Keys of a device, or a signing key, are no larger.
const KEY_BYTES_MAX: usize = 64 * 1024;

/// A user has no more devices.
pub(super) const DEVICES_MAX: usize = 1_000;

/// A server's answer has at most so many bytes.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why servers gave no answer.
pub type Failures = BTreeMap<OwnedServerName, PeerError>;

/// By user and device, the keys by their IDs.
pub(super) type Claimed = BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String, JsonText)>>;

type ByUser<T> = BTreeMap<OwnedUserId, T>;

#[derive(Default, Deserialize)]
struct QueryAnswer {
    #[serde(default)]
    device_keys: BTreeMap<String, BTreeMap<String, Box<RawValue>>>,
    #[serde(default)]
    master_keys: BTreeMap<String, Box<RawValue>>,
    #[serde(default)]
    self_signing_keys: BTreeMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct ClaimAnswer {
    one_time_keys: BTreeMap<String, BTreeMap<String, BTreeMap<String, Box<RawValue>>>>,
}

/// The `device_keys` object of a device, if it is that of this one.
pub(super) fn device_keys(user_id: &str, device_id: &str, text: &str) -> Option<JsonText> {
    #[derive(Deserialize)]
    struct Keys {
        user_id: String,
        device_id: String,
        #[serde(rename = "keys")]
        _keys: BTreeMap<String, String>,
    }
    let keys: Keys = (text.len() <= KEY_BYTES_MAX)
        .then(|| serde_json::from_str(text).ok())
        .flatten()?;
    (keys.user_id == user_id && keys.device_id == device_id).then(|| text.to_owned())
}

/// A cross-signing key, if it is this user's and for this use.
pub(super) fn signing_key(user_id: &str, usage: &str, text: &str) -> Option<JsonText> {
    #[derive(Deserialize)]
    struct Key {
        user_id: String,
        usage: Vec<String>,
        keys: BTreeMap<String, String>,
    }
    let key: Key = (text.len() <= KEY_BYTES_MAX)
        .then(|| serde_json::from_str(text).ok())
        .flatten()?;
    let fits =
        key.user_id == user_id && key.keys.len() == 1 && key.usage.iter().any(|use_| use_ == usage);
    fits.then(|| text.to_owned())
}

impl QueryAnswer {
    fn of_user(&mut self, user_id: &OwnedUserId, wanted: &[OwnedDeviceId]) -> IdentityKeys {
        let name = user_id.as_str();
        let devices = self.device_keys.remove(name).unwrap_or_default();
        let devices = devices.into_iter().take(DEVICES_MAX);
        let devices = devices.filter_map(|(device_id, keys)| {
            let keys = device_keys(name, &device_id, keys.get())?;
            let device_id = OwnedDeviceId::from(device_id);
            (wanted.is_empty() || wanted.contains(&device_id)).then_some((device_id, keys))
        });
        let key = |keys: &BTreeMap<String, Box<RawValue>>, usage| {
            signing_key(name, usage, keys.get(name)?.get())
        };
        IdentityKeys {
            devices: devices.collect(),
            master: key(&self.master_keys, "master"),
            self_signing: key(&self.self_signing_keys, "self_signing"),
            user_signing: None,
        }
    }
}

impl ClaimAnswer {
    /// One key of each device that was asked for, of the algorithm that was.
    fn of_user(
        &mut self,
        user_id: &OwnedUserId,
        wanted: &BTreeMap<OwnedDeviceId, String>,
    ) -> Vec<(OwnedDeviceId, String, JsonText)> {
        let mut devices = self
            .one_time_keys
            .remove(user_id.as_str())
            .unwrap_or_default();
        let of_device = |(device_id, algorithm): (&OwnedDeviceId, &String)| {
            let keys = devices.remove(device_id.as_str())?;
            let (key_id, key) = keys.into_iter().find(|(key_id, key)| {
                let named = key_id.strip_prefix(algorithm.as_str());
                named.is_some_and(|rest| rest.starts_with(':') && key_id.len() <= 255)
                    && key.get().len() <= KEY_BYTES_MAX
                    && key.get().starts_with(['{', '"'])
            })?;
            Some((device_id.clone(), key_id, key.get().to_owned()))
        };
        wanted.iter().filter_map(of_device).collect()
    }
}

/// Each server's users.
fn by_server<T>(wanted: ByUser<T>) -> BTreeMap<OwnedServerName, ByUser<T>> {
    let mut servers: BTreeMap<OwnedServerName, ByUser<T>> = BTreeMap::new();
    for (user_id, what) in wanted {
        let server = user_id.server_name().to_owned();
        servers.entry(server).or_default().insert(user_id, what);
    }
    servers
}

/// Asks servers within one time; tells what came, and which failed.
async fn ask_all<'a, W, A, F>(
    servers: BTreeMap<OwnedServerName, W>,
    within: Duration,
    ask: impl Fn(OwnedServerName, W, Duration) -> F,
) -> (Vec<A>, Failures)
where
    W: Send + 'a,
    A: Send + 'a,
    F: Future<Output = Result<A, PeerError>> + Send + 'a,
{
    let deadline = Instant::now() + within;
    let ask = &ask;
    let questions: Vec<_> = servers
        .into_iter()
        .map(|(server, wanted)| {
            let asked = ask(server.clone(), wanted, within);
            async move {
                let answer = tokio::time::timeout_at(deadline, asked).await;
                (server, answer.unwrap_or(Err(PeerError::TooSlow)))
            }
            .boxed()
        })
        .collect();
    let mut answers = stream::iter(questions).buffer_unordered(SERVERS_AT_ONCE);
    let (mut found, mut failures) = (Vec::new(), Failures::new());
    while let Some((server, answer)) = answers.next().await {
        match answer {
            Ok(answer) => found.push(answer),
            Err(error) => {
                failures.insert(server, error);
            }
        }
    }
    (found, failures)
}

impl House {
    /// Identity keys of other servers' users; an empty list asks for all devices of the user.
    pub(super) async fn query_keys_of_others(
        &self,
        wanted: ByUser<Vec<OwnedDeviceId>>,
        within: Duration,
    ) -> (ByUser<IdentityKeys>, Failures) {
        let (found, failures) = ask_all(
            by_server(wanted),
            within,
            |server, wanted, within| async move {
                let path = "/_matrix/federation/v1/user/keys/query".to_owned();
                let body = json!({ "device_keys": wanted });
                let patience = patience(within);
                let told = self.tell_peer(&server, (PeerMethod::Post, path), &body, patience);
                let mut answer: QueryAnswer = told.await?;
                let of_user = wanted
                    .iter()
                    .map(|(user_id, devices)| (user_id.clone(), answer.of_user(user_id, devices)));
                Ok(of_user.collect::<Vec<_>>())
            },
        )
        .await;
        (found.into_iter().flatten().collect(), failures)
    }

    /// Claims a one-time key of each device of other servers' users; of a device that is named with several algorithms, or several times, only the first.
    pub(super) async fn claim_keys_of_others(
        &self,
        wanted: ByUser<Vec<(OwnedDeviceId, String)>>,
        within: Duration,
    ) -> (Claimed, Failures) {
        let wanted = wanted.into_iter().map(|(user_id, mut devices)| {
            devices.reverse();
            (user_id, devices.into_iter().collect::<BTreeMap<_, _>>())
        });
        let servers = by_server(wanted.collect());
        let (found, failures) = ask_all(servers, within, |server, wanted, within| async move {
            let path = "/_matrix/federation/v1/user/keys/claim".to_owned();
            let body = json!({ "one_time_keys": wanted });
            let patience = patience(within);
            let told = self.tell_peer(&server, (PeerMethod::Post, path), &body, patience);
            let mut answer: ClaimAnswer = told.await?;
            let of_user = wanted
                .iter()
                .map(|(user_id, devices)| (user_id.clone(), answer.of_user(user_id, devices)));
            Ok(of_user.collect::<Vec<_>>())
        })
        .await;
        (found.into_iter().flatten().collect(), failures)
    }
}

fn patience(within: Duration) -> Patience {
    Patience {
        within,
        bytes_max: ANSWER_BYTES_MAX,
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let answer = r#"{"device_keys": {
            "@bob:far": {
                "A": {"user_id": "@bob:far", "device_id": "A", "keys": {"ed25519:A": "k"}},
                "B": {"user_id": "@bob:far", "device_id": "A", "keys": {}},
                "C": {"user_id": "@eve:far", "device_id": "C", "keys": {}},
                "D": {"user_id": "@bob:far", "device_id": "D", "keys": {}},
                "E": 7
            },
            "@eve:far": {}
        }, "master_keys": {"@bob:far": {"user_id": "@bob:far", "usage": ["master"], "keys": {"ed25519:x": "x"}}},
           "self_signing_keys": {"@bob:far": {"user_id": "@bob:far", "usage": ["master"], "keys": {"ed25519:x": "x"}}}}"#;
        let bob = user_id!("@bob:far").to_owned();
        let mut parsed: QueryAnswer = serde_json::from_str(answer).unwrap();
        let keys = parsed.of_user(&bob, &["A".into(), "B".into(), "C".into(), "E".into()]);
        let names: Vec<_> = keys.devices.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["A"]);
        assert!(keys.master.is_some() && keys.self_signing.is_none());
        assert_eq!(parsed.of_user(&bob, &[]).devices, []);
    }

    #[test]
    fn a_claimed_key_is_of_the_algorithm_that_was_asked_for() {
        let answer = r#"{"one_time_keys": {"@bob:far": {
            "A": {"curve25519:1": "k", "signed_curve25519:1": {"key": "k"}},
            "B": {"signed_curve25519x:1": {"key": "k"}},
            "C": {"signed_curve25519:1": 7},
            "X": {"signed_curve25519:1": {"key": "k"}}
        }}}"#;
        let mut parsed: ClaimAnswer = serde_json::from_str(answer).unwrap();
        let algorithm = "signed_curve25519".to_owned();
        let wanted = ["A", "B", "C"].map(|name| (name.into(), algorithm.clone()));
        let keys = parsed.of_user(&user_id!("@bob:far").to_owned(), &BTreeMap::from(wanted));
        let key = r#"{"key": "k"}"#.to_owned();
        assert_eq!(keys, [("A".into(), "signed_curve25519:1".to_owned(), key)]);
    }
}
