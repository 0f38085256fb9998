//! What is believed of another server's keys (server-server API, "Publishing Keys").

use std::collections::BTreeMap;

use playhouse_schema::record::peer_keys::{LearntKey, LearntKeys};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Of one server so many keys are kept: those in use and the youngest of the others.
pub const KEYS_MAX: usize = 64;

/// A key is believed for so long at most without asking again.
pub const TRUSTED_FOR_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// A key of another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKey {
    /// The public key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// What was signed until then is believed.
    pub valid_until_ts: u64,
    /// The server says that it does not use it any more.
    pub is_retired: bool,
}

/// The keys of another server, by their IDs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownKeys {
    /// The keys.
    pub keys: BTreeMap<String, KnownKey>,
    /// What the server published last, signed by itself: JSON. Empty when nothing is known.
    pub published: String,
    /// Until when that was meant to be valid.
    pub published_until_ts: u64,
}

/// What a server publishes, its signatures checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Carried", into = "Carried")]
pub struct HeardKeys {
    /// The keys in use.
    pub in_use: BTreeMap<String, Vec<u8>>,
    /// Until when they are; as it was said.
    pub valid_until_ts: u64,
    /// The keys of former times, each with its end.
    pub retired: BTreeMap<String, (Vec<u8>, u64)>,
    /// The text itself.
    pub published: String,
    /// The server itself said so, rather than somebody who heard it from it.
    pub is_direct: bool,
}

/// How it goes from node to node: keys as byte strings.
#[derive(Serialize, Deserialize)]
struct Carried {
    in_use: BTreeMap<String, ByteBuf>,
    valid_until_ts: u64,
    retired: BTreeMap<String, (ByteBuf, u64)>,
    published: String,
    is_direct: bool,
}

impl From<HeardKeys> for Carried {
    fn from(heard: HeardKeys) -> Self {
        let in_use = heard.in_use.into_iter();
        let retired = heard.retired.into_iter();
        Self {
            in_use: in_use.map(|(id, key)| (id, key.into())).collect(),
            valid_until_ts: heard.valid_until_ts,
            retired: retired
                .map(|(id, (key, until))| (id, (key.into(), until)))
                .collect(),
            published: heard.published,
            is_direct: heard.is_direct,
        }
    }
}

impl From<Carried> for HeardKeys {
    fn from(carried: Carried) -> Self {
        let in_use = carried.in_use.into_iter();
        let retired = carried.retired.into_iter();
        Self {
            in_use: in_use.map(|(id, key)| (id, key.into_vec())).collect(),
            valid_until_ts: carried.valid_until_ts,
            retired: retired
                .map(|(id, (key, until))| (id, (key.into_vec(), until)))
                .collect(),
            published: carried.published,
            is_direct: carried.is_direct,
        }
    }
}

impl KnownKeys {
    /// The key, if it answers for what was signed at that time; 0 stands for any time.
    pub fn valid(&self, key_id: &str, at_ms: u64) -> Option<&[u8]> {
        let known = self.keys.get(key_id)?;
        (at_ms <= known.valid_until_ts).then_some(known.key.as_slice())
    }

    /// Takes in what was heard. What is not mentioned any more stays as it was known: it answers for old events.
    pub fn learn(&mut self, heard: &HeardKeys, now_ms: u64) {
        let until = heard.valid_until_ts.min(now_ms + TRUSTED_FOR_MS);
        for (key_id, key) in &heard.in_use {
            let fresh = KnownKey {
                key: key.clone(),
                valid_until_ts: until,
                is_retired: false,
            };
            match self.keys.get_mut(key_id) {
                Some(known) if known.key == *key && !known.is_retired => {
                    known.valid_until_ts = known.valid_until_ts.max(until);
                }
                // Somebody else's memory neither revives a key nor replaces it.
                Some(_) if !heard.is_direct => {}
                _ => {
                    self.keys.insert(key_id.clone(), fresh);
                }
            }
        }
        for (key_id, (key, expired_ts)) in &heard.retired {
            if heard.in_use.contains_key(key_id) {
                continue;
            }
            let is_other = |known: &KnownKey| known.key != *key;
            if !heard.is_direct && self.keys.get(key_id).is_some_and(is_other) {
                continue;
            }
            let ended = KnownKey {
                key: key.clone(),
                // A key of the future is none of the past.
                valid_until_ts: (*expired_ts).min(now_ms),
                is_retired: true,
            };
            self.keys.insert(key_id.clone(), ended);
        }
        if heard.valid_until_ts >= self.published_until_ts || heard.is_direct {
            self.published.clone_from(&heard.published);
            self.published_until_ts = heard.valid_until_ts;
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.keys.len() > KEYS_MAX {
            let oldest = self
                .keys
                .iter()
                .min_by_key(|(_, known)| (!known.is_retired, known.valid_until_ts))
                .map(|(key_id, _)| key_id.clone());
            if let Some(key_id) = oldest {
                self.keys.remove(&key_id);
            }
        }
    }

    /// As a record.
    pub(super) fn record(&self, at_ms: u64) -> LearntKeys {
        let keys = self.keys.iter().map(|(key_id, known)| LearntKey {
            key_id: key_id.clone(),
            key: known.key.clone(),
            valid_until_ts: known.valid_until_ts,
            is_retired: known.is_retired,
        });
        LearntKeys {
            keys: keys.collect(),
            published: self.published.clone(),
            published_until_ts: self.published_until_ts,
            at_ms,
        }
    }

    /// From a record.
    pub(super) fn of(record: &LearntKeys) -> Self {
        let keys = record.keys.iter().map(|learnt| {
            let known = KnownKey {
                key: learnt.key.clone(),
                valid_until_ts: learnt.valid_until_ts,
                is_retired: learnt.is_retired,
            };
            (learnt.key_id.clone(), known)
        });
        Self {
            keys: keys.collect(),
            published: record.published.clone(),
            published_until_ts: record.published_until_ts,
        }
    }
}
