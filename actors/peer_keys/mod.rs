//! What is known of the keys of another server, so that a restart does not lose the keys of servers that are gone.
//!
//! Owns how knowledge old and new is joined. Must not know how keys are asked for, nor check signatures: it is told what was checked.

mod known;
#[cfg(test)]
mod tests;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::peer_keys::PeerKeysRecord,
};
use serde::{Deserialize, Serialize};

pub use self::known::{HeardKeys, KEYS_MAX, KnownKey, KnownKeys, TRUSTED_FOR_MS};
use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// What only prolongs a key by less than this is not worth a record.
const PROLONGED_BY_MS: u64 = 60 * 60 * 1_000;

/// A server publishes at most so many bytes.
pub const PUBLISHED_BYTES_MAX: usize = 64 * 1024;

/// The keys of a server: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerKeys {
    known: KnownKeys,
}

/// What can be done: something was heard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnKeys(pub HeardKeys);

/// What can be asked: what is known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct KeysQuery;

/// Why nothing is learnt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PeerKeysError {
    /// It is too much.
    #[error("a server publishes too much")]
    TooLarge,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl PeerKeys {
    fn judge(&self, heard: &HeardKeys, now_ms: u64) -> Result<Decision<Self>, PeerKeysError> {
        if heard.published.len() > PUBLISHED_BYTES_MAX {
            return Err(PeerKeysError::TooLarge);
        }
        let mut joined = self.known.clone();
        joined.learn(heard, now_ms);
        let records = if says_more(&self.known, &joined) {
            vec![PeerKeysRecord::Learnt(joined.record(now_ms))]
        } else {
            Vec::new()
        };
        Ok(Decision::new(records, joined))
    }

    fn take_in(&mut self, PeerKeysRecord::Learnt(learnt): &PeerKeysRecord) {
        self.known = KnownKeys::of(learnt);
    }
}

/// Whether the difference is worth a record.
fn says_more(before: &KnownKeys, after: &KnownKeys) -> bool {
    let is_new = |(key_id, key): (&String, &KnownKey)| {
        before.keys.get(key_id).is_none_or(|known| {
            known.key != key.key
                || known.is_retired != key.is_retired
                || key.valid_until_ts < known.valid_until_ts
                || key.valid_until_ts - known.valid_until_ts >= PROLONGED_BY_MS
        })
    };
    before.published.is_empty() != after.published.is_empty() || after.keys.iter().any(is_new)
}

impl Domain for PeerKeys {
    const NAME: &'static str = "peer_keys";

    type Record = PeerKeysRecord;
    type Command = LearnKeys;
    type Reply = KnownKeys;
    type Query = KeysQuery;
    type Answer = KnownKeys;
    type Signal = ();
    type Error = PeerKeysError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &PeerKeysRecord) {
        self.take_in(record);
    }

    fn decide(
        &self,
        LearnKeys(heard): LearnKeys,
        env: &Env,
    ) -> Result<Decision<Self>, PeerKeysError> {
        self.judge(&heard, env.now_ms())
    }

    fn answer(
        resident: &mut Resident<Self>,
        _query: KeysQuery,
        port: Port<KnownKeys, PeerKeysError>,
    ) {
        let _ = port.send(Ok(resident.state.known.clone()));
    }

    fn weight_bytes(&self) -> usize {
        512 + self.known.published.len() + self.known.keys.len() * 160
    }
}
