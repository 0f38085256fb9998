//! `POST /_matrix/client/*/keys/upload`

use std::sync::Arc;

use bytes::Bytes;
use indexmap::IndexMap;
use playhouse_actors::user::message::UploadKeys;
use serde::Deserialize;
use serde_json::{Map, json, value::RawValue};

use crate::edge::{App, Arguments, Failure, RawJson, Session};

/// The body. Read here and not by ruma so that keys stay as they were sent, in the order in which they were sent.
#[derive(Default, Deserialize)]
struct Body {
    device_keys: Option<Box<RawValue>>,
    #[serde(default)]
    one_time_keys: IndexMap<String, Box<RawValue>>,
    #[serde(default)]
    fallback_keys: IndexMap<String, Box<RawValue>>,
    /// The name from before fallback keys were specified; some clients send both.
    #[serde(default, rename = "org.matrix.msc2732.fallback_keys")]
    old_fallback_keys: IndexMap<String, Box<RawValue>>,
}

/// Publishes keys of the caller's device and tells how many one-time keys are left.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let mut body: Body = match arguments.body.as_ref() {
        b"" => Body::default(),
        body => serde_json::from_slice(body)?,
    };
    if body.fallback_keys.is_empty() {
        body.fallback_keys = body.old_fallback_keys;
    }
    let keys = |keys: IndexMap<String, Box<RawValue>>| {
        keys.into_iter()
            .map(|(key_id, key)| (key_id, key.get().to_owned()))
            .collect()
    };
    let upload = UploadKeys {
        device_id: caller.device()?.to_owned(),
        device_keys: body.device_keys.map(|keys| keys.get().to_owned()),
        one_time_keys: keys(body.one_time_keys),
        fallback_keys: keys(body.fallback_keys),
    };
    let counts = app.house.upload_keys(&caller.user_id, upload).await?;
    // Clients count on this one: without it they take the count for unchanged.
    let usual = ("signed_curve25519".to_owned(), json!(0));
    let counts = counts
        .into_iter()
        .map(|(algorithm, count)| (algorithm, json!(count)));
    let counts: Map<_, _> = std::iter::once(usual).chain(counts).collect();
    let answer = json!({ "one_time_key_counts": counts });
    Ok(RawJson(Bytes::from(answer.to_string())))
}
