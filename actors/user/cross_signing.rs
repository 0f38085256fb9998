//! Cross-signing keys: what one must look like, and what it means that one key signed another.

use std::sync::Arc;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ruma::{
    UserId,
    signatures::{SigningKeyAlgorithm, verify_canonical_json_bytes},
};
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;

use super::{context::UserLimits, error::UserError, json};
use crate::env::JsonObject;

/// Signatures come with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of an Ed25519 public key.
const PUBLIC_KEY_BYTES: usize = 32;

/// The cross-signing keys, each as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossSigning {
    /// Master key.
    pub master: Option<Arc<str>>,
    /// Self-signing key.
    pub self_signing: Option<Arc<str>>,
    /// User-signing key.
    pub user_signing: Option<Arc<str>>,
}

impl CrossSigning {
    /// The public part of the master key.
    pub(super) fn master_key(&self) -> Option<String> {
        public_key(self.master.as_ref()?)
    }

    /// The public part of the self-signing key.
    pub(super) fn self_signing_key(&self) -> Option<String> {
        public_key(self.self_signing.as_ref()?)
    }

    /// The public part of the user-signing key.
    pub(super) fn user_signing_key(&self) -> Option<String> {
        public_key(self.user_signing.as_ref()?)
    }
}

/// A cross-signing key as uploaded, well formed.
#[derive(Debug)]
pub(super) struct SigningKey {
    /// The public key, which is its ID too.
    pub(super) public: String,
    /// The whole object.
    pub(super) object: JsonObject,
}

impl SigningKey {
    /// Reads a key that should be this user's, for this use.
    pub(super) fn read(
        text: &str,
        user_id: &UserId,
        usage: &str,
        limits: &UserLimits,
    ) -> Result<Self, UserError> {
        if text.len() > limits.key_bytes_max {
            return Err(UserError::TooLarge(format!("{usage} key is too large")));
        }
        let mut object = json::object(text)?;
        object.remove("unsigned");
        let invalid = |what: &str| UserError::InvalidParam(format!("{usage} key {what}"));
        if object.get("user_id").and_then(JsonValue::as_str) != Some(user_id.as_str()) {
            return Err(invalid("is of another user"));
        }
        let uses = object.get("usage").and_then(JsonValue::as_array);
        if !uses.is_some_and(|uses| uses.iter().any(|known| known == usage)) {
            return Err(invalid("is not for this use"));
        }
        let public = only_key(&object).ok_or_else(|| {
            invalid("must have exactly one Ed25519 key, whose ID is the public key")
        })?;
        Ok(Self { public, object })
    }

    /// The key in canonical form.
    pub(super) fn canonical(self) -> Result<String, UserError> {
        Ok(json::canonical(JsonValue::Object(self.object))?.to_string())
    }
}

/// The public part of a stored cross-signing key.
pub(super) fn public_key(key: &str) -> Option<String> {
    only_key(&json::object(key).ok()?)
}

fn only_key(object: &JsonObject) -> Option<String> {
    let keys = object.get("keys")?.as_object()?;
    let (key_id, key) = keys.iter().next().filter(|_| keys.len() == 1)?;
    let (key, named) = (key.as_str()?, key_id.strip_prefix("ed25519:")?);
    (is_public_key(key) && key == named).then(|| key.to_owned())
}

/// Whether a text is the public part of an Ed25519 key.
pub(crate) fn is_public_key(text: &str) -> bool {
    let bytes = BASE64.decode(text);
    bytes.is_ok_and(|bytes| bytes.len() == PUBLIC_KEY_BYTES)
}

/// What of an object is signed, in canonical form.
pub(super) fn signed_part(object: &JsonObject) -> Result<String, UserError> {
    let mut object = object.clone();
    object.remove("signatures");
    object.remove("unsigned");
    Ok(json::canonical(JsonValue::Object(object))?.to_string())
}

/// The signatures that a user made of an object: key ID and signature.
pub(super) fn signatures_of<'a>(
    object: &'a JsonObject,
    signer: &UserId,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    object
        .get("signatures")
        .and_then(|signatures| signatures.get(signer.as_str())?.as_object())
        .into_iter()
        .flatten()
        .filter_map(|(key_id, signature)| Some((key_id.as_str(), signature.as_str()?)))
}

/// Whether the key made the signature.
pub(super) fn is_signature(public_key: &str, signature: &str, signed: &str) -> bool {
    let (Ok(key), Ok(signature)) = (BASE64.decode(public_key), BASE64.decode(signature)) else {
        return false;
    };
    let algorithm = SigningKeyAlgorithm::Ed25519;
    verify_canonical_json_bytes(&algorithm, &key, &signature, signed.as_bytes()).is_ok()
}

/// The signature of a user's key on an object, if it is there and right.
pub(super) fn signature_by(
    object: &JsonObject,
    signer: &UserId,
    (key_name, public_key): (&str, &str),
) -> Result<String, UserError> {
    let key_id = format!("ed25519:{key_name}");
    let signature = signatures_of(object, signer)
        .find(|(known, _)| *known == key_id)
        .map(|(_, signature)| signature)
        .ok_or_else(|| UserError::InvalidSignature(format!("no signature by {key_id}")))?;
    if is_signature(public_key, signature, &signed_part(object)?) {
        Ok(signature.to_owned())
    } else {
        Err(UserError::InvalidSignature(format!(
            "the signature by {key_id} is not right"
        )))
    }
}
