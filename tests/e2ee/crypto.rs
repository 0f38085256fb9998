//! Keys that sign.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::signatures::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::harness::Client;

/// A key pair whose public key is its name.
pub(crate) struct SigningKey {
    pair: Ed25519KeyPair,
    /// The public key in base 64.
    pub(crate) public: String,
}

impl SigningKey {
    pub(crate) fn new() -> Self {
        let document = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&document, "1".to_owned()).expect("a key pair");
        let public = STANDARD_NO_PAD.encode(pair.public_key());
        Self { pair, public }
    }

    /// Adds a signature under a key name.
    pub(crate) fn sign_as(&self, object: &mut Value, user_id: &str, name: &str) {
        let mut bare = object.clone();
        let fields = bare.as_object_mut().expect("an object");
        fields.remove("signatures");
        fields.remove("unsigned");
        // Keys are sorted, there is no space: what the tests sign is canonical as it is.
        let signature = self.pair.sign(bare.to_string().as_bytes());
        object["signatures"][user_id][format!("ed25519:{name}")] = signature.base64().into();
    }

    /// Adds a signature under the public key.
    pub(crate) fn sign(&self, object: &mut Value, user_id: &str) {
        self.sign_as(object, user_id, &self.public);
    }

    /// The key as a cross-signing key.
    pub(crate) fn published(&self, user_id: &str, usage: &str) -> Value {
        json!({
            "user_id": user_id, "usage": [usage],
            "keys": { format!("ed25519:{}", self.public): self.public },
        })
    }
}

/// A user's cross-signing keys.
pub(crate) struct Identity {
    pub(crate) master: SigningKey,
    pub(crate) self_signing: SigningKey,
    pub(crate) user_signing: SigningKey,
}

impl Identity {
    pub(crate) fn new() -> Self {
        Self {
            master: SigningKey::new(),
            self_signing: SigningKey::new(),
            user_signing: SigningKey::new(),
        }
    }

    /// The body that publishes them.
    pub(crate) fn upload(&self, user_id: &str) -> Value {
        let mut self_signing = self.self_signing.published(user_id, "self_signing");
        let mut user_signing = self.user_signing.published(user_id, "user_signing");
        self.master.sign(&mut self_signing, user_id);
        self.master.sign(&mut user_signing, user_id);
        json!({
            "master_key": self.master.published(user_id, "master"),
            "self_signing_key": self_signing, "user_signing_key": user_signing,
        })
    }
}

/// Identity keys of a client's device, signed by the device.
pub(crate) fn device_keys(client: &Client, key: &SigningKey) -> Value {
    let mut keys = json!({
        "user_id": client.user_id, "device_id": client.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": { format!("ed25519:{}", client.device_id): key.public, format!("curve25519:{}", client.device_id): "curve" },
    });
    key.sign_as(&mut keys, &client.user_id, &client.device_id);
    keys
}

/// Publishes identity keys of a client's device.
pub(crate) async fn publish(client: &Client) -> (SigningKey, Value) {
    let key = SigningKey::new();
    let keys = device_keys(client, &key);
    client
        .post(
            "/_matrix/client/v3/keys/upload",
            json!({ "device_keys": keys }),
        )
        .await
        .ok();
    (key, keys)
}

/// The keys of some users as a client sees them.
pub(crate) async fn query(client: &Client, users: &[&str]) -> Value {
    let wanted: serde_json::Map<String, Value> = users
        .iter()
        .map(|user| ((*user).to_owned(), json!([])))
        .collect();
    client
        .post(
            "/_matrix/client/v3/keys/query",
            json!({ "device_keys": wanted }),
        )
        .await
        .ok()
}
