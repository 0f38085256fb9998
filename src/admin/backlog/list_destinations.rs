//! `GET /_playhouse/admin/v1/destinations`

use std::sync::Arc;

use playhouse_actors::{
    house::{Backlog, OldestEvent},
    server::Outlook,
};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use crate::{
    admin::paging::Sheet,
    edge::{Admin, App, Failure},
};

/// A page has so many destinations, and never more than these.
const LIMITS: (u64, u64) = (50, 200);

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/destinations",
}

/// Which destinations are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    /// After this one.
    from: Option<String>,
    limit: Option<u64>,
    /// Only those that lack something.
    unfinished: Option<bool>,
}

/// Asks for destinations.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(query_all)]
    pub(crate) query: Query,
}

/// Destinations.
#[response]
pub(crate) struct Response {
    /// By name.
    pub(crate) destinations: Vec<Shown>,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// A destination.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    server_name: String,
    /// `up_to_date`, `in_flight`, `waiting`, `behind` or `unreachable`.
    state: &'static str,
    failures: u64,
    failing_since_ts: Option<u64>,
    next_attempt_ts: Option<u64>,
    last_success_ts: Option<u64>,
    /// So much waits in memory.
    waiting: u64,
    /// The oldest event that it lacks. Null where it lacks none, or is behind: then it is looked for once it can be reached.
    oldest_undelivered: Option<Oldest>,
}

/// An event that a destination lacks.
#[derive(Clone, Debug, Serialize)]
struct Oldest {
    room_id: String,
    event_id: String,
    received_ts: u64,
}

impl From<OldestEvent> for Oldest {
    fn from(event: OldestEvent) -> Self {
        Self {
            room_id: event.room_id,
            event_id: event.event_id,
            received_ts: event.recorded_ms,
        }
    }
}

impl From<Backlog> for Shown {
    fn from(backlog: Backlog) -> Self {
        // There is no such time.
        let known = |at_ms: u64| (at_ms > 0).then_some(at_ms);
        let (destination, outlook) = (backlog.destination, backlog.outlook);
        let waiting = outlook.as_ref().map_or(0, |outlook| outlook.waiting);
        let has = |is_so: fn(&Outlook) -> bool| outlook.as_ref().is_some_and(is_so);
        // What the actor says is newer than what the model says.
        let failures = outlook
            .as_ref()
            .map_or(destination.failures, |outlook| outlook.failures);
        let state = if failures > 0 {
            "unreachable"
        } else if has(|outlook| outlook.is_behind) {
            "behind"
        } else if has(|outlook| outlook.in_flight.is_some()) {
            "in_flight"
        } else if waiting > 0 {
            "waiting"
        } else {
            "up_to_date"
        };
        Self {
            state,
            failures,
            failing_since_ts: known(destination.failing_since_ms).filter(|_| failures > 0),
            next_attempt_ts: known(destination.next_ms).filter(|_| failures > 0),
            last_success_ts: known(destination.acknowledged_ms),
            waiting,
            oldest_undelivered: backlog.oldest.map(Oldest::from),
            server_name: destination.server_name,
        }
    }
}

/// Tells how things stand with other servers to which something was ever sent.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let query = request.query;
    let sheet = Sheet::of(query.limit, LIMITS);
    let from = query.from.unwrap_or_default();
    let only_unfinished = query.unfinished.unwrap_or(false);
    let wanted = (from.as_str(), sheet.wanted());
    let mut found = app.house.backlogs(wanted, only_unfinished).await?;
    let has_more = sheet.cut(&mut found);
    let next = found.last().filter(|_| has_more);
    let next = next.map(|last| last.destination.server_name.clone());
    Ok(Response {
        destinations: found.into_iter().map(Shown::from).collect(),
        next,
    })
}
