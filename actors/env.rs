//! What actors and folds may know of the world: the clock, randomness, this server's identity. Tests and the simulation replace them.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::Ed25519KeyPair;
use ruma::{
    AnyKeyName, OwnedServerName, OwnedSigningKeyId, ServerName, SigningKeyAlgorithm, SigningKeyId,
    signatures::{KeyPair, Signature},
};
use serde_json::Value as JsonValue;

use crate::network::{Network, NoNetwork};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
}

/// Gives random bytes fit for secrets.
pub trait Randomness: Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// This server's name and signing key.
pub struct Identity {
    /// The server name: the domain of its users.
    pub server_name: OwnedServerName,
    /// The key with which events and requests are signed.
    pub signer: Signer,
}

/// Signs with Ed25519 (appendices, "Signing JSON"). By aws-lc: half the time of the portable code behind `ruma`'s own key pair.
pub struct Signer {
    key_id: OwnedSigningKeyId<AnyKeyName>,
    pair: Ed25519KeyPair,
    beside: Vec<Signer>,
    retired: Vec<RetiredKey>,
}

/// A key with which this server signed once. What was signed until then stays valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredKey {
    /// The key's ID, for example `ed25519:1`.
    pub key_id: String,
    /// The public key, 32 bytes.
    pub public_key: Vec<u8>,
    /// It is not used since then; milliseconds since the Unix epoch.
    pub expired_ts: u64,
}

impl Signer {
    /// A signer from the key's version and secret seed. `None` when the version is not one.
    pub fn from_seed(version: &str, seed: &[u8; 32]) -> Option<Self> {
        let key_id = SigningKeyId::from_parts(SigningKeyAlgorithm::Ed25519, version.into());
        Some(Self {
            key_id,
            pair: Ed25519KeyPair::from_seed_unchecked(seed).ok()?,
            beside: Vec::new(),
            retired: Vec::new(),
        })
    }

    /// The same with further keys: some that are valid too though they sign nothing new, and some of former times.
    pub fn with_others(mut self, beside: Vec<Signer>, retired: Vec<RetiredKey>) -> Self {
        self.beside = beside;
        self.retired = retired;
        self
    }

    /// Keys that are valid too.
    pub fn beside(&self) -> &[Signer] {
        &self.beside
    }

    /// Keys of former times.
    pub fn retired(&self) -> &[RetiredKey] {
        &self.retired
    }

    /// The key's ID, for example `ed25519:1`.
    pub fn key_id(&self) -> &SigningKeyId<AnyKeyName> {
        &self.key_id
    }

    /// The public key, 32 bytes.
    pub fn public_key(&self) -> &[u8] {
        aws_lc_rs::signature::KeyPair::public_key(&self.pair).as_ref()
    }
}

impl KeyPair for Signer {
    fn sign(&self, message: &[u8]) -> Signature {
        Signature::new(
            self.key_id.clone(),
            self.pair.sign(message).as_ref().to_vec(),
        )
    }
}

/// Everything a decision may ask for. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub randomness: Arc<dyn Randomness>,
    /// Who we are.
    pub identity: Arc<Identity>,
    /// Other servers.
    pub network: Arc<dyn Network>,
}

impl Env {
    /// The real clock and the operating system's randomness.
    pub fn system(identity: Identity) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            identity: Arc::new(identity),
            network: Arc::new(NoNetwork),
        }
    }

    /// The same with other servers within reach.
    pub fn with_network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = network;
        self
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// This server's name.
    pub fn server_name(&self) -> &ServerName {
        &self.identity.server_name
    }

    /// A random string of `length` characters out of a-z, A-Z and 0-9.
    pub fn random_string(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        // 62 * 4 = 248: bytes above are thrown away, so that all characters are equally likely.
        let mut text = String::with_capacity(length);
        let mut buffer = [0u8; 64];
        while text.len() < length {
            self.randomness.fill(&mut buffer);
            let usable = buffer
                .iter()
                .filter(|byte| **byte < 248)
                .map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
            text.extend(usable.take(length - text.len()));
        }
        text
    }

    /// Some random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.randomness.fill(&mut bytes);
        bytes
    }
}

/// A JSON object as the domain passes it on from a client.
pub type JsonObject = serde_json::Map<String, JsonValue>;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system clock"
    )]
    fn now_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64)
    }
}

struct SystemRandomness;

impl Randomness for SystemRandomness {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system for randomness"
    )]
    fn fill(&self, buffer: &mut [u8]) {
        rand::Rng::fill_bytes(&mut rand::rng(), buffer);
    }
}
