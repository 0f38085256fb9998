//! `GET /_synapse/admin/v1/users/{user_id}/pushers`

use std::sync::Arc;

use playhouse_actors::user::{
    push_standing::EndedPusher,
    pushers::{NamedPusher, PusherBook},
};
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::{Map, Value, json};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/pushers",
}

/// Asks where a user is pushed to.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// The pushers.
#[response]
pub(crate) struct Response {
    /// Those in force, each with how things stand with it.
    pub(crate) pushers: Vec<Value>,
    /// How many.
    pub(crate) total: usize,
    /// The last ones that were removed by others than the user, each with the reason.
    pub(crate) ended_pushers: Vec<Value>,
}

/// Tells an administrator where a user is pushed to, and what came of it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    let book = match account.deactivated {
        true => PusherBook::default(),
        false => app.house.pusher_book(&request.user_id).await?,
    };
    Ok(Response {
        pushers: book.pushers.iter().map(shown).collect(),
        total: book.pushers.len(),
        ended_pushers: book.ended.iter().map(shown_ended).collect(),
    })
}

fn shown(named: &NamedPusher) -> Value {
    let pusher = &named.pusher;
    let mut fields: Map<String, Value> = serde_json::from_str(&pusher.json).unwrap_or_default();
    let enabled = fields.remove("org.matrix.msc3881.enabled");
    fields.insert("enabled".to_owned(), enabled.unwrap_or(json!(true)));
    fields.insert("device_id".to_owned(), json!(pusher.device_id));
    let tag = fields.entry("profile_tag");
    tag.or_insert_with(|| json!(""));
    fields.insert("ts".to_owned(), json!(pusher.at_ms));
    let standing = &pusher.standing;
    let told = |time_ms: u64| (time_ms > 0).then_some(time_ms);
    for (name, value) in [
        ("last_success_ts", json!(told(standing.success_ms))),
        ("failing_since_ts", json!(told(standing.failing_since_ms))),
        ("next_attempt_ts", json!(told(standing.next_ms))),
        ("failures", json!(standing.failures)),
        ("reason", json!(standing.reason)),
        ("waiting", json!(standing.lag.is_some())),
        ("unread", json!(standing.unread)),
    ] {
        fields.insert(name.to_owned(), value);
    }
    Value::Object(fields)
}

fn shown_ended(ended: &EndedPusher) -> Value {
    json!({
        "app_id": ended.app_id,
        "pushkey": ended.pushkey,
        "ended_ts": ended.at_ms,
        "reason": ended.reason,
    })
}
