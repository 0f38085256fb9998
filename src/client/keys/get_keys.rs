//! `POST /_matrix/client/*/keys/query`

use std::sync::Arc;

use bytes::Bytes;
use ruma::{OwnedServerName, api::client::keys::get_keys::v3::Request};
use serde_json::{Value, json};

use super::trees::{by_user, devices_by_user};
use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};

/// Gives the identity keys of users' devices. A server that cannot be asked is named under `failures`.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let mut wanted = request.device_keys;
    if app.config.limits.keys_of_shared_rooms_only {
        let users: Vec<_> = wanted.keys().cloned().collect();
        let known = app.house.who_shares_a_room(&caller.user_id, users).await?;
        wanted.retain(|user_id, _| known.contains(user_id));
    }
    let found = app.house.query_keys(&caller.user_id, wanted).await?;
    Ok(page::Object::new()
        .raw("device_keys", &devices_by_user(found.device_keys)?)
        .raw("master_keys", &by_user(found.master_keys)?)
        .raw("self_signing_keys", &by_user(found.self_signing_keys)?)
        .raw("user_signing_keys", &by_user(found.user_signing_keys)?)
        .raw("failures", &failures(found.failures))
        .finish())
}

/// Servers that could not be asked.
pub(super) fn failures(servers: impl IntoIterator<Item = OwnedServerName>) -> Bytes {
    let unreachable = json!({ "errcode": "M_UNKNOWN", "error": "the server cannot be reached" });
    let failures: serde_json::Map<String, Value> = servers
        .into_iter()
        .map(|server| (server.to_string(), unreachable.clone()))
        .collect();
    Bytes::from(Value::Object(failures).to_string())
}
