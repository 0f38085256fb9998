//! `POST /_matrix/client/*/keys/signatures/upload`

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ruma::OwnedUserId;
use serde_json::{Map, Value, json, value::RawValue};

use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// By user and key ID, the key as it was signed.
type Body = BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>;

/// Takes in signatures of the caller's clients; those that are not right are named under `failures`.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    let mut signed = Vec::new();
    for (user_id, keys) in body {
        for (key_id, key) in keys {
            signed.push((user_id.clone(), key_id, key.get().to_owned()));
        }
    }
    let failed = app.house.add_signatures(&caller.user_id, signed).await?;
    let mut failures = Map::new();
    for failure in failed {
        let of_user = failures
            .entry(failure.user_id.to_string())
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(keys) = of_user {
            keys.insert(failure.key_id, Failure::from(failure.error).body(""));
        }
    }
    let answer = json!({ "failures": failures });
    Ok(RawJson(Bytes::from(answer.to_string())))
}
