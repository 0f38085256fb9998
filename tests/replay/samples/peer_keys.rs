//! Records of other servers' keys.

use playhouse_schema::record::peer_keys::{LearntKey, LearntKeys, PeerKeysRecord};

use super::{super::Sample, sample};

pub(crate) const VARIANTS: usize = 1;

pub(crate) fn name(record: &PeerKeysRecord) -> &'static str {
    match record {
        PeerKeysRecord::Learnt(_) => "Learnt",
    }
}

pub(crate) fn all() -> Vec<Sample<PeerKeysRecord>> {
    let key = LearntKey {
        key_id: "ed25519:a".into(),
        key: vec![7; 32],
        valid_until_ts: 1_700_000_000_001,
        is_retired: true,
    };
    let learnt = LearntKeys {
        keys: vec![key],
        published: "{}".into(),
        published_until_ts: 1_700_000_000_002,
        at_ms: 1_700_000_000_003,
    };
    vec![sample("Learnt", PeerKeysRecord::Learnt(learnt))]
}
