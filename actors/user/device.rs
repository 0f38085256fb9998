//! A device: its name, its keys, and the messages that wait for it.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use imbl::{OrdMap, Vector};
use playhouse_schema::chain::digest;
use playhouse_schema::{address::Sequence, record::user::ToDeviceAcknowledged};
use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};

use super::message::ToDeviceIndex;

/// How many transactions of a device are remembered.
const TRANSACTIONS_MAX: usize = 200;

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// Its ID.
    pub device_id: OwnedDeviceId,
    /// The record that added it: tells it from an earlier device of the same ID.
    pub since: Sequence,
    /// Its name.
    pub display_name: Option<String>,
    /// Last seen, milliseconds since the Unix epoch.
    pub last_seen_ms: Option<u64>,
    /// From which address.
    pub last_seen_address: Option<String>,
    /// With which User-Agent header.
    pub user_agent: Option<String>,
    /// Its `device_keys` object, canonical.
    pub keys: Option<Arc<str>>,
    /// One-time keys.
    pub one_time: OneTimeKeys,
    /// Fallback keys by algorithm.
    pub fallback: OrdMap<String, FallbackKey>,
    /// Messages that wait.
    pub inbox: Inbox,
    transactions: Vector<Arc<str>>,
}

/// A fallback key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FallbackKey {
    /// Key ID with its algorithm.
    pub key_id: String,
    /// The key, canonical.
    pub json: Arc<str>,
    /// It was given out.
    pub used: bool,
}

impl DeviceState {
    pub(super) fn new(device_id: OwnedDeviceId, since: Sequence) -> Self {
        Self {
            device_id,
            since,
            display_name: None,
            last_seen_ms: None,
            last_seen_address: None,
            user_agent: None,
            keys: None,
            one_time: OneTimeKeys::default(),
            fallback: OrdMap::new(),
            inbox: Inbox::default(),
            transactions: Vector::new(),
        }
    }

    /// Whether a transaction is done.
    pub fn has_done(&self, transaction_id: &str) -> bool {
        // Repeats come soon after: newest first.
        self.transactions
            .iter()
            .rev()
            .any(|done| **done == *transaction_id)
    }

    /// A name for a transaction that no other of the same user has. Device and transaction cannot be read out of it.
    pub fn transaction_name(&self, transaction_id: &str) -> String {
        let text = format!("{} {} {transaction_id}", self.since, self.device_id);
        let digest = digest(text.as_bytes());
        URL_SAFE_NO_PAD.encode(&digest[..24])
    }

    pub(super) fn note_transaction(&mut self, transaction_id: &str) {
        self.transactions.push_back(transaction_id.into());
        if self.transactions.len() > TRANSACTIONS_MAX {
            self.transactions.pop_front();
        }
    }

    pub(super) fn set_fallback(&mut self, key_id: &str, json: Arc<str>) {
        let key = FallbackKey {
            key_id: key_id.to_owned(),
            json,
            used: false,
        };
        self.fallback.insert(algorithm(key_id).to_owned(), key);
    }

    pub(super) fn use_fallback(&mut self, key_id: &str) {
        if let Some(key) = self.fallback.get_mut(algorithm(key_id))
            && key.key_id == key_id
        {
            key.used = true;
        }
    }

    /// Algorithms of fallback keys that were never given out, sorted.
    pub fn unused_fallback_algorithms(&self) -> Vec<&str> {
        self.fallback
            .iter()
            .filter(|(_, key)| !key.used)
            .map(|(algorithm, _)| algorithm.as_str())
            .collect()
    }

    pub(super) fn weight_bytes(&self) -> usize {
        let keys = self.keys.as_ref().map_or(0, |json| json.len());
        // One-time keys have a few hundred bytes, a name in the ledger about 24.
        400 + keys
            + self.inbox.bytes
            + self.inbox.queue.len() * 48
            + self.one_time.waiting.len() * 400
            + self.one_time.ledger.len() * 24
            + self.fallback.len() * 500
            + self.transactions.len() * 64
    }
}

/// The algorithm in front of a key ID.
pub(super) fn algorithm(key_id: &str) -> &str {
    key_id
        .split_once(':')
        .map_or(key_id, |(algorithm, _)| algorithm)
}

/// What an uploaded one-time key is to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStanding {
    /// Never seen.
    New,
    /// The same key was uploaded before. It may have been given out since.
    Known,
    /// Another key was uploaded under the same ID.
    Contradicts,
}

/// One-time keys of a device that wait to be claimed, and the names of all it ever uploaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OneTimeKeys {
    /// Key ID with algorithm, and key: in upload order.
    waiting: Vector<(String, Arc<str>)>,
    /// A hash of each key ID that was ever uploaded, and of its content.
    ledger: OrdMap<u64, u32>,
}

impl OneTimeKeys {
    /// What a key is, its JSON being canonical.
    pub fn standing(&self, key_id: &str, json: &str) -> KeyStanding {
        match self.ledger.get(&name_hash(key_id)) {
            None => KeyStanding::New,
            Some(content) if *content == content_hash(json) => KeyStanding::Known,
            Some(_) => KeyStanding::Contradicts,
        }
    }

    /// Adds a key, unless its ID was ever used.
    pub(super) fn add(&mut self, key_id: &str, json: Arc<str>) {
        let name = name_hash(key_id);
        if self.ledger.contains_key(&name) {
            return;
        }
        self.ledger.insert(name, content_hash(&json));
        self.waiting.push_back((key_id.to_owned(), json));
    }

    pub(super) fn take(&mut self, key_id: &str) {
        if let Some(index) = self
            .waiting
            .iter()
            .position(|(waiting, _)| waiting == key_id)
        {
            self.waiting.remove(index);
        }
    }

    /// None that waits is given out any more; their names stay taken.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting.clear();
    }

    /// The keys of an algorithm that wait, oldest first.
    pub fn of(&self, wanted: &str) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.waiting
            .iter()
            .filter(move |(key_id, _)| algorithm(key_id) == wanted)
            .map(|(key_id, json)| (key_id.as_str(), json))
    }

    /// How many wait, by algorithm, sorted.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let mut counts = std::collections::BTreeMap::<&str, u64>::new();
        for (key_id, _) in &self.waiting {
            *counts.entry(algorithm(key_id)).or_default() += 1;
        }
        counts
            .into_iter()
            .map(|(algorithm, count)| (algorithm.to_owned(), count))
            .collect()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many were ever uploaded.
    pub fn ever(&self) -> usize {
        self.ledger.len()
    }
}

fn name_hash(key_id: &str) -> u64 {
    let digest = digest(key_id.as_bytes());
    u64::from_be_bytes(
        digest[..8]
            .try_into()
            .expect("a SHA-256 digest has 32 bytes"),
    )
}

fn content_hash(json: &str) -> u32 {
    let digest = digest(json.as_bytes());
    u32::from_be_bytes(
        digest[..4]
            .try_into()
            .expect("a SHA-256 digest has 32 bytes"),
    )
}

/// A to-device message that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// The user's record that queued it.
    sequence: Sequence,
    /// How many messages of that record for this device came before.
    ordinal: u64,
    /// The event: `type`, `sender`, `content`.
    json: Arc<str>,
}

/// To-device messages that wait for a device, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbox {
    queue: Vector<Queued>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, sequence: Sequence, json: Arc<str>) {
        let ordinal = match self.queue.back() {
            Some(last) if last.sequence == sequence => last.ordinal + 1,
            _ => 0,
        };
        self.bytes += json.len();
        self.queue.push_back(Queued {
            sequence,
            ordinal,
            json,
        });
    }

    pub(super) fn acknowledge(&mut self, acknowledged: &ToDeviceAcknowledged) {
        let until = ToDeviceIndex {
            sequence: acknowledged.sequence,
            partial: acknowledged.partial,
        };
        while let Some(first) = self.queue.front()
            && first.is_before(until)
        {
            self.bytes -= first.json.len();
            self.queue.pop_front();
        }
    }

    /// At most `limit` messages after an index, and the index after the last of them; `None` when none are left after it.
    pub fn after(
        &self,
        index: ToDeviceIndex,
        limit: usize,
    ) -> (Vec<Arc<str>>, Option<ToDeviceIndex>) {
        let mut following = self
            .queue
            .iter()
            .skip_while(|queued| queued.is_before(index))
            .peekable();
        let mut messages = Vec::new();
        let mut last = None;
        while messages.len() < limit
            && let Some(queued) = following.next()
        {
            messages.push(queued.json.clone());
            last = Some(queued);
        }
        let more = match (last, following.peek()) {
            (_, None) => None,
            (None, Some(_)) => Some(index),
            (Some(last), Some(next)) if next.sequence == last.sequence => Some(ToDeviceIndex {
                sequence: last.sequence.saturating_sub(1),
                partial: last.ordinal + 1,
            }),
            (Some(last), Some(_)) => Some(ToDeviceIndex {
                sequence: last.sequence,
                partial: 0,
            }),
        };
        (messages, more)
    }

    /// At most `limit` messages after an index that were queued by records up to `durable`, and the index after the last of them.
    pub fn durable_after(
        &self,
        index: ToDeviceIndex,
        durable: Sequence,
        limit: usize,
    ) -> (Vec<Arc<str>>, Option<ToDeviceIndex>) {
        let mut following = self
            .queue
            .iter()
            .skip_while(|queued| queued.is_before(index))
            .take_while(|queued| queued.sequence <= durable)
            .peekable();
        let mut messages = Vec::new();
        let mut end = None;
        while messages.len() < limit
            && let Some(queued) = following.next()
        {
            messages.push(queued.json.clone());
            let goes_on = following
                .peek()
                .is_some_and(|next| next.sequence == queued.sequence);
            end = Some(if goes_on {
                ToDeviceIndex {
                    sequence: queued.sequence.saturating_sub(1),
                    partial: queued.ordinal + 1,
                }
            } else {
                ToDeviceIndex {
                    sequence: queued.sequence,
                    partial: 0,
                }
            });
        }
        (messages, end)
    }

    /// Whether the oldest message lies before an index.
    pub fn has_before(&self, index: ToDeviceIndex) -> bool {
        self.queue
            .front()
            .is_some_and(|first| first.is_before(index))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes of what waits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Queued {
    fn is_before(&self, index: ToDeviceIndex) -> bool {
        self.sequence <= index.sequence
            || (self.sequence == index.sequence.saturating_add(1) && self.ordinal < index.partial)
    }
}
