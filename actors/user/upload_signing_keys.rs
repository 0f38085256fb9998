//! Publish cross-signing keys.
//!
//! The first keys may be set by whoever holds a session; to replace them the caller must have proven anew who it is, or a stolen session could
//! stand in for the user towards everybody.

use std::sync::Arc;

use playhouse_schema::record::user::{CrossSigningKeysSet, UserRecord};
use serde_bytes::ByteBuf;

use super::{
    context::UserLimits,
    cross_signing::{SigningKey, public_key, signature_by},
    error::UserError,
    json,
    message::{UploadSigningKeys, UserReply},
    state::User,
};
use crate::{kernel::Decision, room::message::JsonText};

pub(super) fn decide(
    user: &User,
    upload: UploadSigningKeys,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    let read = |text: Option<JsonText>, usage: &str| {
        text.map(|text| SigningKey::read(&text, &user.user_id, usage, limits))
            .transpose()
    };
    let master = read(upload.master, "master")?;
    let self_signing = read(upload.self_signing, "self_signing")?;
    let user_signing = read(upload.user_signing, "user_signing")?;
    let uploaded: Vec<_> = [&master, &self_signing, &user_signing]
        .into_iter()
        .flatten()
        .collect();
    if uploaded
        .iter()
        .any(|key| user.device(key.public.as_str().into()).is_some())
    {
        return Err(UserError::Forbidden("key ID is in use".to_owned()));
    }
    let known = &user.cross_signing;
    let master_key = master
        .as_ref()
        .map(|key| key.public.clone())
        .or_else(|| known.master_key())
        .ok_or_else(|| UserError::MissingParam("no master key is available".to_owned()))?;
    for key in [&self_signing, &user_signing].into_iter().flatten() {
        signature_by(&key.object, &user.user_id, (&master_key, &master_key))?;
    }
    let is_known = is_known(&master, known.master.as_ref())
        && is_known(&self_signing, known.self_signing.as_ref())
        && is_known(&user_signing, known.user_signing.as_ref());
    if is_known {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    if known.master.is_some() && !upload.proven {
        return Err(UserError::ProofNeeded);
    }
    let set = CrossSigningKeysSet {
        master: bytes(master)?,
        self_signing: bytes(self_signing)?,
        user_signing: bytes(user_signing)?,
    };
    let records = vec![UserRecord::CrossSigningKeysSet(set)];
    Ok(Decision::new(records, UserReply::Done))
}

/// Nothing new: the same key, or none.
fn is_known(uploaded: &Option<SigningKey>, known: Option<&Arc<str>>) -> bool {
    uploaded.as_ref().is_none_or(|uploaded| {
        known.and_then(|known| public_key(known)).as_deref() == Some(&*uploaded.public)
    })
}

fn bytes(key: Option<SigningKey>) -> Result<Option<ByteBuf>, UserError> {
    key.map(|key| Ok(json::bytes(key.canonical()?))).transpose()
}
