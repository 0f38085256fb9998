//! Records of the keys with which another server signs.

use serde::{Deserialize, Serialize};

use super::{Kind, codec::Record};

/// What is learnt of another server's keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerKeysRecord {
    /// All keys that are known now.
    #[serde(rename = "l")]
    Learnt(LearntKeys),
}

/// The keys of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntKeys {
    /// The keys, by their IDs.
    pub keys: Vec<LearntKey>,
    /// What the server published last, signed by itself: JSON.
    pub published: String,
    /// Until when that was meant to be valid; milliseconds since the Unix epoch.
    pub published_until_ts: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A key of another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntKey {
    /// Its ID, for example `ed25519:1`.
    pub key_id: String,
    /// The public key.
    #[serde(with = "serde_bytes")]
    pub key: Vec<u8>,
    /// What was signed until then is believed; milliseconds since the Unix epoch.
    pub valid_until_ts: u64,
    /// The server says that it does not use it any more.
    pub is_retired: bool,
}

impl Record for PeerKeysRecord {
    fn kind(&self) -> Kind {
        match self {
            PeerKeysRecord::Learnt(_) => 800,
        }
    }
}
