//! `GET /_matrix/client/unstable/org.matrix.msc4140/delayed_events`

use std::{cmp::Reverse, sync::Arc};

use bytes::Bytes;
use playhouse_actors::delays::{Delayed, Stage};
use serde_json::{Value, json};

use super::described;
use crate::{
    client::query,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Lists the caller's delayed events: `delayed_events` are those that wait, the next one first; `finalised` are those that have ended, the last one first.
/// With `status` (`scheduled` or `finalised`) only these, both times as `delayed_events`.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let status = query::parameter(arguments.query.as_deref(), "status");
    let all = app.house.delayed_events(&caller.user_id).await?;
    let (mut waiting, mut ended): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|delayed| delayed.is_pending());
    waiting.sort_by_key(|delayed| delayed.due_ms());
    ended.sort_by_key(|delayed| Reverse(ended_ms(delayed)));
    let answer = match status.as_deref() {
        None => json!({ "delayed_events": list(&waiting)?, "finalised": list(&ended)? }),
        Some("scheduled") => json!({ "delayed_events": list(&waiting)? }),
        Some("finalised") => json!({ "delayed_events": list(&ended)? }),
        Some(_) => {
            return Err(Failure::invalid_param(
                "status is neither scheduled nor finalised",
            ));
        }
    };
    Ok(RawJson(Bytes::from(answer.to_string())))
}

fn ended_ms(delayed: &Delayed) -> u64 {
    match &delayed.stage {
        Stage::Finished(finished) => finished.at_ms,
        Stage::Waiting | Stage::Departed => 0,
    }
}

fn list(events: &[Arc<Delayed>]) -> Result<Vec<Value>, Failure> {
    events.iter().map(|delayed| described(delayed)).collect()
}
