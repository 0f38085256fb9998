//! Take in signatures that the user's clients made: on the user's own devices and master key, and on the master keys of others.
//!
//! Each is checked, and only what was checked is kept: what else an upload says of a key is not its business.

use std::collections::BTreeMap;

use playhouse_schema::record::user::{SignedKey, UserRecord};
use ruma::OwnedUserId;
use serde_json::{Value as JsonValue, json};

use super::{
    context::UserLimits,
    cross_signing::{is_signature, public_key, signature_by, signatures_of, signed_part},
    device::DeviceState,
    error::UserError,
    json,
    message::{AddSignatures, SignatureFailure, UserReply},
    state::User,
};
use crate::{env::JsonObject, kernel::Decision};

pub(super) fn decide(
    user: &User,
    upload: AddSignatures,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if upload.signed.len() > limits.signatures_per_upload_max {
        return Err(UserError::TooLarge("too many signed keys".to_owned()));
    }
    let mut added = Vec::new();
    let mut failures = Vec::new();
    for (user_id, key_id, object) in upload.signed {
        let result = if object.len() > limits.key_bytes_max {
            Err(UserError::TooLarge("key is too large".to_owned()))
        } else {
            json::object(&object)
                .and_then(|object| check(user, (&user_id, &key_id), &object, &upload.masters))
        };
        match result {
            Ok(signatures) if is_known(user, (&user_id, &key_id), &signatures) => {}
            Ok(_) if user.signatures.len() + added.len() >= limits.signed_keys_max => {
                let error = UserError::TooLarge("too many keys are signed".to_owned());
                failures.push(SignatureFailure {
                    user_id,
                    key_id,
                    error,
                });
            }
            Ok(signatures) => added.push(SignedKey {
                user_id: user_id.to_string(),
                key_id,
                signatures: json::bytes(json!({ user.user_id.as_str(): signatures }).to_string()),
            }),
            Err(error) => failures.push(SignatureFailure {
                user_id,
                key_id,
                error,
            }),
        }
    }
    let records = if added.is_empty() {
        Vec::new()
    } else {
        vec![UserRecord::SignaturesAdded(added)]
    };
    Ok(Decision::new(
        records,
        UserReply::SignatureFailures(failures),
    ))
}

/// The right signatures of one upload, by key ID.
fn check(
    user: &User,
    (user_id, key_id): (&OwnedUserId, &str),
    object: &JsonObject,
    masters: &BTreeMap<OwnedUserId, String>,
) -> Result<JsonObject, UserError> {
    let by = |public_key: Option<String>, what: &str| {
        let public_key = public_key
            .ok_or_else(|| UserError::InvalidSignature(format!("the signer has no {what} key")))?;
        let signature = signature_by(object, &user.user_id, (&public_key, &public_key))?;
        Ok(JsonObject::from_iter([(
            format!("ed25519:{public_key}"),
            JsonValue::from(signature),
        )]))
    };
    if *user_id != user.user_id {
        let master = masters
            .get(user_id)
            .filter(|master| public_key(master).as_deref() == Some(key_id))
            .ok_or_else(|| unknown(key_id))?;
        must_match(object, master)?;
        return by(user.cross_signing.user_signing_key(), "user-signing");
    }
    if let Some(keys) = user
        .device(key_id.into())
        .and_then(|device| device.keys.as_ref())
    {
        must_match(object, keys)?;
        return by(user.cross_signing.self_signing_key(), "self-signing");
    }
    match &user.cross_signing.master {
        Some(master) if public_key(master).as_deref() == Some(key_id) => {
            must_match(object, master)?;
            by_devices(user, object)
        }
        _ => Err(unknown(key_id)),
    }
}

/// The signatures of the user's devices on its master key: all of them must be right, and at least one must be there.
fn by_devices(user: &User, object: &JsonObject) -> Result<JsonObject, UserError> {
    let signed = signed_part(object)?;
    let mut right = JsonObject::new();
    for (signer, signature) in signatures_of(object, &user.user_id) {
        let device = signer
            .strip_prefix("ed25519:")
            .and_then(|device_id| user.device(device_id.into()));
        // The master key signs itself in some clients; what is no device says nothing.
        let Some(key) = device.and_then(|device| identity_key(device, signer)) else {
            continue;
        };
        if !is_signature(&key, signature, &signed) {
            return Err(UserError::InvalidSignature(format!(
                "the signature by {signer} is not right"
            )));
        }
        right.insert(signer.to_owned(), signature.into());
    }
    if right.is_empty() {
        return Err(UserError::InvalidSignature(
            "none of the user's devices signed the key".to_owned(),
        ));
    }
    Ok(right)
}

fn identity_key(device: &DeviceState, key_id: &str) -> Option<String> {
    let keys = json::object(device.keys.as_ref()?).ok()?;
    Some(keys.get("keys")?.get(key_id)?.as_str()?.to_owned())
}

fn must_match(object: &JsonObject, known: &str) -> Result<(), UserError> {
    if signed_part(object)? == signed_part(&json::object(known)?)? {
        Ok(())
    } else {
        Err(UserError::InvalidParam(
            "the signed object is not the key as it was published".to_owned(),
        ))
    }
}

fn is_known(user: &User, (user_id, key_id): (&OwnedUserId, &str), signatures: &JsonObject) -> bool {
    let name = (user_id.to_string(), key_id.to_owned());
    let known = user
        .signatures
        .get(&name)
        .and_then(|signed| json::object(&signed.json).ok());
    let known = known
        .as_ref()
        .and_then(|known| known.get(user.user_id.as_str())?.as_object());
    known.is_some_and(|known| {
        signatures
            .iter()
            .all(|(key_id, signature)| known.get(key_id) == Some(signature))
    })
}

fn unknown(key_id: &str) -> UserError {
    UserError::UnknownKey(key_id.chars().take(64).collect())
}
