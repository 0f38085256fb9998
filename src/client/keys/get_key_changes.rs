//! `GET /_matrix/client/*/keys/changes`

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use crate::{
    client::query::parameter,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Tells whose device lists changed since a sync, and with whom no room is shared any more.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let token = |name: &str| {
        parameter(arguments.query.as_deref(), name)
            .filter(|token| !token.is_empty())
            .ok_or_else(|| Failure::missing_param(format!("{name} is missing")))
    };
    let (from, to) = (token("from")?, token("to")?);
    let keys = app.house.key_changes(&caller.user_id, from, to).await?;
    let answer = json!({ "changed": keys.changed, "left": keys.left });
    Ok(RawJson(Bytes::from(answer.to_string())))
}
