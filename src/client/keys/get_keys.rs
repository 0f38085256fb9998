//! `POST /_matrix/client/*/keys/query`

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use playhouse_actors::{house::Failures, network::PeerError};
use ruma::api::client::keys::get_keys::v3::Request;
use serde_json::{Value, json};

use super::trees::{by_user, devices_by_user};
use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};

/// Other servers tell their users' keys within this time unless the client says otherwise …
const WITHIN: Duration = Duration::from_secs(10);

/// … but none has longer.
const WITHIN_MAX: Duration = Duration::from_secs(30);

/// Gives the identity keys of users' devices. A server that gives no answer is named under `failures`.
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
    let within = request.timeout.unwrap_or(WITHIN).min(WITHIN_MAX);
    let found = app
        .house
        .query_keys(&caller.user_id, wanted, within)
        .await?;
    Ok(page::Object::new()
        .raw("device_keys", &devices_by_user(found.device_keys)?)
        .raw("master_keys", &by_user(found.master_keys)?)
        .raw("self_signing_keys", &by_user(found.self_signing_keys)?)
        .raw("user_signing_keys", &by_user(found.user_signing_keys)?)
        .raw("failures", &failures(&found.failures))
        .finish())
}

/// Servers that gave no answer, each with the reason.
pub(super) fn failures(servers: &Failures) -> Bytes {
    let failures: serde_json::Map<String, Value> = servers
        .iter()
        .map(|(server, error)| (server.to_string(), reason(error)))
        .collect();
    Bytes::from(Value::Object(failures).to_string())
}

fn reason(error: &PeerError) -> Value {
    let (errcode, said) = match error {
        PeerError::Off | PeerError::Denied | PeerError::Barred => {
            ("M_FORBIDDEN", error.to_string())
        }
        PeerError::Unreachable(_) => ("M_CONNECTION_FAILED", "cannot be reached".to_owned()),
        PeerError::TooSlow => ("M_CONNECTION_TIMEOUT", error.to_string()),
        PeerError::TooLarge | PeerError::Nonsense(_) => {
            ("M_UNKNOWN", "answers with nonsense".to_owned())
        }
        PeerError::Refused { errcode, error, .. } if errcode.is_empty() => {
            ("M_UNKNOWN", error.clone())
        }
        PeerError::Refused { errcode, error, .. } => (errcode.as_str(), error.clone()),
    };
    json!({ "errcode": errcode, "error": said })
}
