//! What servers publish of their keys: read, and its signatures checked.

use playhouse_actors::peer_keys::{HeardKeys, PUBLISHED_BYTES_MAX};
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, ServerName, SigningKeyAlgorithm,
    serde::Base64,
    signatures::{PublicKeySet, to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};

/// Only these keys are known.
const ED25519: &str = "ed25519:";

/// Why something published is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Doubt(&'static str);

/// Reads what a server publishes. It must be signed by keys of its own, and all such signatures must be right.
pub(super) fn read(
    mut object: CanonicalJsonObject,
    server_name: &ServerName,
    is_direct: bool,
) -> Result<HeardKeys, Doubt> {
    let name = object
        .get("server_name")
        .and_then(CanonicalJsonValue::as_str);
    if name != Some(server_name.as_str()) {
        return Err(Doubt("these are the keys of another server"));
    }
    let in_use: PublicKeySet = members(&object, "verify_keys")
        .filter_map(|(key_id, key)| Some((key_id.clone(), public_key(key_id, key)?)))
        .collect();
    if !is_signed(&object, server_name, &in_use)? {
        return Err(Doubt("the keys are not signed by themselves"));
    }
    let retired = members(&object, "old_verify_keys")
        .filter_map(|(key_id, key)| {
            let expired_ts = time(key.as_object()?.get("expired_ts")?)?;
            let key = public_key(key_id, key)?.into_inner();
            Some((key_id.clone(), (key, expired_ts)))
        })
        .collect();
    let valid_until_ts = object.get("valid_until_ts").and_then(time);
    let valid_until_ts = valid_until_ts.ok_or(Doubt("nothing says how long the keys are valid"))?;
    // Whoever passed it on vouched for it towards us only.
    if let Some(CanonicalJsonValue::Object(signatures)) = object.get_mut("signatures") {
        signatures.retain(|signer, _| signer == server_name.as_str());
    }
    let published = CanonicalJsonValue::Object(object).to_string();
    if published.len() > PUBLISHED_BYTES_MAX {
        return Err(Doubt("a server publishes too much"));
    }
    Ok(HeardKeys {
        in_use: in_use
            .into_iter()
            .map(|(key_id, key)| (key_id, key.into_inner()))
            .collect(),
        valid_until_ts,
        retired,
        published,
        is_direct,
    })
}

/// Whether an object carries at least one signature of a server with these keys. A wrong one is worse than none.
pub(super) fn is_signed(
    object: &CanonicalJsonObject,
    server_name: &ServerName,
    keys: &PublicKeySet,
) -> Result<bool, Doubt> {
    let text = to_canonical_json_string_for_signing(object)
        .map_err(|_| Doubt("this is nothing signed"))?;
    let signatures = object
        .get("signatures")
        .and_then(|all| all.as_object()?.get(server_name.as_str())?.as_object());
    let mut is_signed = false;
    for (key_id, signature) in signatures.into_iter().flatten() {
        let Some(key) = keys.get(key_id) else {
            continue;
        };
        let signature = signature
            .as_str()
            .and_then(|text| Base64::<ruma::serde::base64::Standard>::parse(text).ok());
        let signature = signature.ok_or(Doubt("a signature cannot be read"))?;
        verify_canonical_json_bytes(
            &SigningKeyAlgorithm::Ed25519,
            key.as_bytes(),
            signature.as_bytes(),
            text.as_bytes(),
        )
        .map_err(|_| Doubt("a signature is wrong"))?;
        is_signed = true;
    }
    Ok(is_signed)
}

fn members<'a>(
    object: &'a CanonicalJsonObject,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a CanonicalJsonValue)> {
    let members = object.get(name).and_then(CanonicalJsonValue::as_object);
    members.into_iter().flatten()
}

fn public_key(key_id: &str, value: &CanonicalJsonValue) -> Option<Base64> {
    let encoded = value.as_object()?.get("key")?.as_str()?;
    let key = Base64::parse(encoded).ok()?;
    (key_id.starts_with(ED25519) && key.as_bytes().len() == 32).then_some(key)
}

fn time(value: &CanonicalJsonValue) -> Option<u64> {
    u64::try_from(i64::from(value.as_integer()?)).ok()
}
