//! Hashes and signatures of events that other servers make, or share with this one. They are `ruma`'s work but for events with numbers that canonical JSON
//! cannot say: the tree that `ruma` hashes has only stand-ins for those.

use playhouse_schema::chain::digest;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedEventId, SigningKeyAlgorithm,
    canonical_json::RedactingSerializer,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
    serde::{Base64, base64::Standard},
    signatures::{
        KeyPair as _, PublicKeyMap, PublicKeySet, Verified, add_content_hash_to_event,
        reference_hash, required_server_signatures_to_verify_event, sign_event,
        verify_canonical_json_bytes, verify_event,
    },
};

use super::Flaw;
use crate::{
    env::Env,
    room::{build::hashed_event_id, canonical::Canonical},
};

/// What neither a signature nor an event ID covers.
const UNSIGNED: [&str; 2] = ["signatures", "unsigned"];

/// What the content hash does not cover.
const UNHASHED: [&str; 3] = ["hashes", "signatures", "unsigned"];

/// The event's ID: told by room versions 1 and 2, the reference hash from version 3 on.
pub(crate) fn event_id(event: &Canonical, rules: &RoomVersionRules) -> Result<OwnedEventId, Flaw> {
    let text = if rules.event_id_format == EventIdFormatVersion::V1 {
        let told = event.string("event_id");
        told.ok_or_else(|| malformed("no event_id"))?.to_owned()
    } else if event.is_plain() {
        let hash = reference_hash(&event.object, rules);
        format!("${}", hash.map_err(malformed)?)
    } else {
        let redacted = signed_text(event, rules)?;
        return Ok(hashed_event_id(&digest(redacted.as_bytes()), rules));
    };
    EventId::parse(text).map_err(malformed)
}

/// Checks the signatures that the event needs, and whether its content is the one that was hashed.
pub(super) fn verify(
    event: &Canonical,
    rules: &RoomVersionRules,
    keys: &PublicKeyMap,
) -> Result<Verified, Flaw> {
    if event.is_plain() {
        return verify_event(keys, &event.object, rules).map_err(bad_signature);
    }
    let servers = required_server_signatures_to_verify_event(&event.object, &rules.signatures);
    let signed = signed_text(event, rules)?;
    for server in servers.map_err(bad_signature)? {
        let known = keys.get(server.as_str());
        let known = known.ok_or_else(|| bad_signature(format!("no keys of {server}")))?;
        verify_by(server.as_str(), known, (event, &signed))?;
    }
    let hashes = event.object.get("hashes");
    let hashes = hashes.and_then(CanonicalJsonValue::as_object);
    let told = hashes.and_then(|hashes| hashes.get("sha256")?.as_str());
    let told = told.ok_or_else(|| bad_signature("the event has no hash"))?;
    let hash = digest(hashed_text(event)?.as_bytes());
    let told = Base64::<Standard>::parse(told);
    let is_whole = told.is_ok_and(|told| told.as_bytes() == hash.as_slice());
    Ok(if is_whole {
        Verified::All
    } else {
        Verified::Signatures
    })
}

/// Whether a server has signed an event with one of these keys.
pub(crate) fn is_signed_by(
    server: &str,
    keys: &PublicKeySet,
    (event, rules): (&Canonical, &RoomVersionRules),
) -> Result<(), Flaw> {
    verify_by(server, keys, (event, &signed_text(event, rules)?))
}

/// Every signature by a known key must be good, and one must there be.
fn verify_by(
    server: &str,
    keys: &PublicKeySet,
    (event, signed): (&Canonical, &str),
) -> Result<(), Flaw> {
    let all = event.object.get("signatures");
    let all = all.and_then(CanonicalJsonValue::as_object);
    let theirs = all.and_then(|all| all.get(server)?.as_object());
    let mut is_signed = false;
    for (key_id, signature) in theirs.into_iter().flatten() {
        let Some(key) = keys.get(key_id) else {
            continue;
        };
        if !key_id.starts_with("ed25519:") {
            continue;
        }
        let signature = signature.as_str();
        let signature = signature.ok_or_else(|| bad_signature("a signature is no text"))?;
        let signature = Base64::<Standard>::parse(signature).map_err(bad_signature)?;
        verify_canonical_json_bytes(
            &SigningKeyAlgorithm::Ed25519,
            key.as_bytes(),
            signature.as_bytes(),
            signed.as_bytes(),
        )
        .map_err(bad_signature)?;
        is_signed = true;
    }
    if is_signed {
        Ok(())
    } else {
        Err(bad_signature(format!("{server} has not signed it")))
    }
}

/// Puts the content hash into an event.
pub(super) fn add_content_hash(event: &mut Canonical) -> Result<(), Flaw> {
    if event.is_plain() {
        return add_content_hash_to_event(&mut event.object).map_err(malformed);
    }
    let hash = digest(hashed_text(event)?.as_bytes());
    let hash = Base64::<Standard, _>::new(hash.to_vec()).encode();
    let hashes = [("sha256".to_owned(), CanonicalJsonValue::String(hash))];
    let hashes = CanonicalJsonValue::Object(hashes.into());
    event.object.insert("hashes".to_owned(), hashes);
    Ok(())
}

/// Puts this server's signature into an event.
pub(super) fn sign(event: &mut Canonical, rules: &RoomVersionRules, env: &Env) -> Result<(), Flaw> {
    let (own, signer) = (env.server_name().as_str(), &env.identity.signer);
    if event.is_plain() {
        return sign_event(own, signer, &mut event.object, &rules.redaction).map_err(malformed);
    }
    let signature = signer.sign(signed_text(event, rules)?.as_bytes());
    let empty = || CanonicalJsonValue::Object(CanonicalJsonObject::new());
    let all = event.object.entry("signatures".to_owned());
    let all = all.or_insert_with(empty).as_object_mut();
    let all = all.ok_or_else(|| malformed("the signatures are no object"))?;
    let ours = all.entry(own.to_owned());
    let ours = ours.or_insert_with(empty).as_object_mut();
    let ours = ours.ok_or_else(|| malformed("the signatures are no object"))?;
    let text = CanonicalJsonValue::String(signature.base64());
    ours.insert(signature.id(), text);
    Ok(())
}

/// What signatures and the reference hash cover: what stays of the event when it is redacted.
fn signed_text(event: &Canonical, rules: &RoomVersionRules) -> Result<String, Flaw> {
    let text = RedactingSerializer::new()
        .rules(&rules.redaction)
        .custom_redacted_root_fields(&UNSIGNED)
        .serialize(&event.object)
        .map_err(malformed)?;
    Ok(event.finish(text).into_owned())
}

/// What the content hash covers.
fn hashed_text(event: &Canonical) -> Result<String, Flaw> {
    let text = RedactingSerializer::new()
        .custom_redacted_root_fields(&UNHASHED)
        .serialize(&event.object)
        .map_err(malformed)?;
    Ok(event.finish(text).into_owned())
}

fn malformed(what: impl ToString) -> Flaw {
    Flaw::Malformed(what.to_string())
}

fn bad_signature(what: impl ToString) -> Flaw {
    Flaw::Signature(what.to_string())
}
