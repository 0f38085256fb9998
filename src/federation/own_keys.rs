//! This server's own keys, as it publishes them (server-server API, "Publishing Keys").

use playhouse_actors::env::Env;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, Int,
    serde::Base64,
    signatures::{PublicKeySet, sign_json},
};

/// Others may believe the keys for so long without asking again.
const VALID_FOR_MS: u64 = 24 * 60 * 60 * 1_000;

/// The answer of `/_matrix/key/v2/server`, signed by every key in use.
pub(crate) fn own_keys_json(env: &Env) -> CanonicalJsonObject {
    let signer = &env.identity.signer;
    let encoded = |key: &[u8]| Base64::<ruma::serde::base64::Standard>::new(key.to_vec()).encode();
    let in_use = || std::iter::once(signer).chain(signer.beside());
    let verify_keys: CanonicalJsonObject = in_use()
        .map(|signer| {
            let key = object([("key", encoded(signer.public_key()).into())]);
            (signer.key_id().to_string(), key)
        })
        .collect();
    let old_verify_keys: CanonicalJsonObject = signer
        .retired()
        .iter()
        .map(|retired| {
            let key = object([
                ("expired_ts", time(retired.expired_ts)),
                ("key", encoded(&retired.public_key).into()),
            ]);
            (retired.key_id.clone(), key)
        })
        .collect();
    let mut published = CanonicalJsonObject::from([
        ("server_name".to_owned(), env.server_name().as_str().into()),
        ("verify_keys".to_owned(), verify_keys.into()),
        ("old_verify_keys".to_owned(), old_verify_keys.into()),
        (
            "valid_until_ts".to_owned(),
            time(env.now_ms() + VALID_FOR_MS),
        ),
    ]);
    for signer in in_use() {
        sign_own(env, signer, &mut published);
    }
    published
}

/// Adds this server's signature to what it passes on as a notary.
pub(crate) fn sign_as_notary(env: &Env, published: &mut CanonicalJsonObject) {
    sign_own(env, &env.identity.signer, published);
}

/// The keys that answer for what this server itself signed at a time; 0 for any time.
pub(crate) fn own_public_keys(env: &Env, at_ms: u64) -> PublicKeySet {
    let signer = &env.identity.signer;
    let in_use = std::iter::once(signer)
        .chain(signer.beside())
        .map(|signer| (signer.key_id().to_string(), signer.public_key().to_vec()));
    let retired = signer
        .retired()
        .iter()
        .filter(|retired| at_ms <= retired.expired_ts)
        .map(|retired| (retired.key_id.clone(), retired.public_key.clone()));
    retired
        .chain(in_use)
        .map(|(key_id, key)| (key_id, Base64::new(key)))
        .collect()
}

fn sign_own(env: &Env, signer: &playhouse_actors::env::Signer, object: &mut CanonicalJsonObject) {
    let signed = sign_json(env.server_name().as_str(), signer, object);
    if let Err(error) = signed {
        // What others sent as `signatures` may be anything.
        tracing::debug!(%error, "this cannot be signed");
    }
}

fn object<const N: usize>(members: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonValue {
    let members = members.map(|(name, value)| (name.to_owned(), value));
    CanonicalJsonObject::from(members).into()
}

fn time(ms: u64) -> CanonicalJsonValue {
    Int::new_saturating(i64::try_from(ms).unwrap_or(i64::MAX)).into()
}
