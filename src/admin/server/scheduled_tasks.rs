//! `GET /_synapse/admin/v1/scheduled_tasks`

use std::sync::Arc;

use playhouse_actors::purges::{DeletionStanding, DeletionState, RedactionStanding, Tasks};
use playhouse_schema::record::purge::{Purge, PurgeEnded};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// How a task may stand.
const STATUSES: [&str; 5] = ["scheduled", "active", "complete", "cancelled", "failed"];

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/scheduled_tasks",
}

/// Which tasks are wanted.
#[request]
pub(crate) struct Request {
    /// What they do: `purge_history`, `shutdown_and_purge_room` or `redact_all_events`.
    #[ruma_api(query)]
    pub(crate) action_name: Option<String>,
    /// To which room or user they do it.
    #[ruma_api(query)]
    pub(crate) resource_id: Option<String>,
    /// How they stand.
    #[ruma_api(query)]
    pub(crate) status: Option<String>,
    /// The same by an older name.
    #[ruma_api(query)]
    pub(crate) job_status: Option<String>,
    /// Only those that changed before this time, milliseconds since the Unix epoch.
    #[ruma_api(query)]
    pub(crate) max_timestamp: Option<u64>,
}

/// The tasks.
#[response]
pub(crate) struct Response {
    /// Those that wait and those of which the end is remembered.
    pub(crate) scheduled_tasks: Vec<Task>,
}

/// A task.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Task {
    id: String,
    action: &'static str,
    status: &'static str,
    /// When it was wanted or, if it has ended, when it ended.
    timestamp_ms: u64,
    resource_id: String,
    result: Option<Value>,
    error: Option<String>,
}

impl Task {
    fn of_purge((purge, ended): (Purge, Option<PurgeEnded>)) -> Self {
        Self {
            status: status(ended.as_ref()),
            timestamp_ms: ended.as_ref().map_or(purge.at_ms, |ended| ended.at_ms),
            error: ended.and_then(|ended| ended.error),
            id: purge.id,
            action: "purge_history",
            resource_id: purge.room_id,
            result: None,
        }
    }

    fn of_deletion(standing: DeletionStanding, now_ms: u64) -> Self {
        let status = match standing.state(now_ms) {
            DeletionState::Scheduled => "scheduled",
            DeletionState::Active => "active",
            DeletionState::Complete => "complete",
            DeletionState::Failed => "failed",
        };
        let (deletion, done, ended) = (standing.deletion, standing.done, standing.ended);
        Self {
            status,
            timestamp_ms: ended.as_ref().map_or(deletion.at_ms, |ended| ended.at_ms),
            error: ended.and_then(|ended| ended.error),
            id: deletion.id,
            action: "shutdown_and_purge_room",
            resource_id: deletion.room_id,
            result: Some(json!({
                "kicked_users": done.kicked,
                "failed_to_kick_users": done.failed,
                "local_aliases": done.aliases,
                "new_room_id": done.new_room_id,
            })),
        }
    }

    fn of_redaction(standing: RedactionStanding) -> Self {
        let (redaction, ended) = (standing.redaction, standing.ended);
        let failed: serde_json::Map<_, _> = standing
            .done
            .failed
            .into_iter()
            .map(|(event_id, error)| (event_id, Value::from(error)))
            .collect();
        Self {
            status: status(ended.as_ref()),
            timestamp_ms: ended.as_ref().map_or(redaction.at_ms, |ended| ended.at_ms),
            error: ended.and_then(|ended| ended.error),
            id: redaction.id,
            action: "redact_all_events",
            resource_id: redaction.user_id,
            result: Some(json!({ "failed_redactions": failed })),
        }
    }

    fn is_wanted(&self, request: &Request) -> bool {
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        fits(&request.action_name, self.action)
            && fits(&request.resource_id, &self.resource_id)
            && fits(&request.status, self.status)
            && fits(&request.job_status, self.status)
            && request
                .max_timestamp
                .is_none_or(|most| self.timestamp_ms <= most)
    }
}

fn status(ended: Option<&PurgeEnded>) -> &'static str {
    match ended {
        None => "active",
        Some(PurgeEnded { error: Some(_), .. }) => "failed",
        Some(_) => "complete",
    }
}

/// Lists what goes on in the background because administrators want it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    for wanted in [&request.status, &request.job_status].into_iter().flatten() {
        if !STATUSES.contains(&wanted.as_str()) {
            return Err(Failure::invalid_param("there is no such status"));
        }
    }
    let Tasks {
        purges,
        deletions,
        redactions,
    } = app.house.tasks().await?;
    let now_ms = app.house.env().now_ms();
    let purges = purges.into_iter().map(Task::of_purge);
    let deletions = deletions.into_iter();
    let deletions = deletions.map(|standing| Task::of_deletion(standing, now_ms));
    let redactions = redactions.into_iter().map(Task::of_redaction);
    let all = purges.chain(deletions).chain(redactions);
    Ok(Response {
        scheduled_tasks: all.filter(|task| task.is_wanted(&request)).collect(),
    })
}
