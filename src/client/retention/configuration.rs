//! `GET /_matrix/client/unstable/org.matrix.msc1763/retention/configuration`

use std::sync::Arc;

use bytes::Bytes;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::{Map, Value, json};

use crate::edge::{App, Failure, RawJson, Session};

metadata! {
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc1763/retention/configuration",
}

/// Asks how long events are kept.
#[request]
pub(crate) struct Request {}

/// How long events are kept.
#[response]
pub(crate) struct Response {}

/// Tells how long events are kept in rooms that say nothing, and what rooms may say.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<RawJson, Failure> {
    let retention = &app.config.retention;
    let (mut policies, mut limits) = (Map::new(), Map::new());
    if retention.enabled {
        if let Some(default_ms) = retention.default_ms() {
            policies.insert("*".to_owned(), json!({ "max_lifetime": default_ms }));
        }
        let bounds = [("min", retention.min_ms()), ("max", retention.max_ms())];
        let bounds: Map<String, Value> = bounds
            .into_iter()
            .filter_map(|(name, bound)| Some((name.to_owned(), json!(bound?))))
            .collect();
        if !bounds.is_empty() {
            limits.insert("max_lifetime".to_owned(), Value::Object(bounds));
        }
    }
    let answer = json!({ "policies": policies, "limits": limits });
    Ok(RawJson(Bytes::from(answer.to_string())))
}
