//! `GET /_playhouse/admin/v1/destinations`

use std::sync::Arc;

use playhouse_actors::{
    house::{Backlog, OldestEvent},
    server::Outlook,
};
use playhouse_schema::models::destinations::Destination;
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

/// What is told of attempts: all of it by the actor, or all of it by the model.
struct Attempts {
    failures: u64,
    failing_since_ms: u64,
    next_ms: u64,
    acknowledged_ms: u64,
}

impl Attempts {
    /// What the actor says is newer than what the model says: half of one and half of the other would be true at no time.
    fn of(destination: &Destination, outlook: Option<&Outlook>) -> Self {
        match outlook {
            Some(outlook) => Self {
                failures: outlook.failures,
                failing_since_ms: outlook.failing_since_ms,
                next_ms: outlook.next_ms,
                acknowledged_ms: outlook.acknowledged_ms,
            },
            None => Self {
                failures: destination.failures,
                failing_since_ms: destination.failing_since_ms,
                next_ms: destination.next_ms,
                acknowledged_ms: destination.acknowledged_ms,
            },
        }
    }
}

impl From<Backlog> for Shown {
    fn from(backlog: Backlog) -> Self {
        // There is no such time.
        let known = |at_ms: u64| (at_ms > 0).then_some(at_ms);
        let (destination, outlook) = (backlog.destination, backlog.outlook);
        let attempts = Attempts::of(&destination, outlook.as_ref());
        let failures = attempts.failures;
        let waiting = outlook.as_ref().map_or(0, |outlook| outlook.waiting);
        let has = |is_so: fn(&Outlook) -> bool| outlook.as_ref().is_some_and(is_so);
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
            failing_since_ts: known(attempts.failing_since_ms).filter(|_| failures > 0),
            next_attempt_ts: known(attempts.next_ms).filter(|_| failures > 0),
            last_success_ts: known(attempts.acknowledged_ms),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A destination that the model knows since before the first failure.
    fn before() -> Destination {
        Destination {
            server_name: "b.example".to_owned(),
            lags: false,
            in_flight: true,
            failures: 0,
            failing_since_ms: 0,
            failed_ms: 0,
            next_ms: 0,
            acknowledged_ms: 5,
        }
    }

    /// What its actor says.
    fn outlook() -> Outlook {
        Outlook {
            arrival: None,
            in_flight: None,
            is_behind: false,
            waiting: 0,
            oldest: None,
            is_delivering: false,
            failures: 0,
            failing_since_ms: 0,
            next_ms: 0,
            acknowledged_ms: 0,
        }
    }

    fn shown(destination: Destination, outlook: Option<Outlook>) -> Shown {
        Shown::from(Backlog {
            destination,
            outlook,
            oldest: None,
        })
    }

    /// State, failures, failing since, next attempt, last success.
    fn told(shown: &Shown) -> (&str, u64, [Option<u64>; 3]) {
        let times = [
            shown.failing_since_ts,
            shown.next_attempt_ts,
            shown.last_success_ts,
        ];
        (shown.state, shown.failures, times)
    }

    #[test]
    fn who_is_unreachable_is_so_since_a_time() {
        let failing = Outlook {
            failures: 1,
            failing_since_ms: 7,
            next_ms: 9,
            acknowledged_ms: 6,
            ..outlook()
        };
        let shown = shown(before(), Some(failing));
        let times = [Some(7), Some(9), Some(6)];
        assert_eq!(told(&shown), ("unreachable", 1, times));
    }

    #[test]
    fn who_is_reached_again_has_succeeded() {
        let failing = Destination {
            failures: 3,
            failing_since_ms: 7,
            failed_ms: 8,
            next_ms: 9,
            ..before()
        };
        let reached = Outlook {
            acknowledged_ms: 11,
            ..outlook()
        };
        let times = [None, None, Some(11)];
        let newer = shown(failing.clone(), Some(reached));
        assert_eq!(told(&newer), ("up_to_date", 0, times));
        // Nobody was asked: the model says all of it.
        let times = [Some(7), Some(9), Some(5)];
        let older = shown(failing, None);
        assert_eq!(told(&older), ("unreachable", 3, times));
    }
}
