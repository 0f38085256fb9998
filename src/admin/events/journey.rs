//! `GET /_playhouse/admin/v1/events/{event_id}/journey`

use std::sync::Arc;

use playhouse_actors::{
    house::{EventJourney, EventPushes, JourneyWish, Listener},
    pushers::PushFate,
    server::{Arrival, Outlook},
    user::{push_standing::EndedPusher, pushers::NamedPusher},
};
use playhouse_schema::record::room::{Placement, Verdict};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::edge::{Admin, App, Failure};

/// So many users and destinations are told at once …
const LIMIT: u64 = 20;

/// … and never more than these.
const LIMIT_MAX: u64 = 100;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/events/{event_id}/journey",
}

/// Names an event.
#[request]
pub(crate) struct Request {
    /// Its ID.
    #[ruma_api(path)]
    pub(crate) event_id: OwnedEventId,
    /// `users_next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ruma_api(query)]
    pub(crate) users_from: Option<String>,
    /// `destinations_next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ruma_api(query)]
    pub(crate) destinations_from: Option<String>,
    /// So many users and so many destinations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ruma_api(query)]
    pub(crate) limit: Option<u64>,
}

/// The way of the event.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) journey: Shown,
}

/// The way of an event through this server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<String>,
    sender: OwnedUserId,
    /// The server whose event it is.
    origin: OwnedServerName,
    /// It was made here, and did not come from elsewhere.
    made_here: bool,
    /// The server that brought it. What was recorded by an older version than this is told to be from its own server.
    #[serde(skip_serializing_if = "Option::is_none")]
    received_from: Option<String>,
    /// When it was made, as its server says.
    origin_server_ts: u64,
    /// When it was recorded here, milliseconds since the Unix epoch.
    received_ts: u64,
    stored: Stored,
    /// `accepted`, `soft_failed`, `rejected`, `held` or `powerless`.
    verdict: &'static str,
    /// Why it was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// `live`, `backfilled` or `outlier`.
    placement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_by: Option<OwnedEventId>,
    state: State,
    /// It is an end of the event graph.
    forward_extremity: bool,
    users: Vec<Heard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users_next: Option<String>,
    destinations: Vec<Sent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destinations_next: Option<String>,
}

/// Where it stands in the log.
#[derive(Clone, Debug, Serialize)]
struct Stored {
    shard: u16,
    position: u64,
    sequence: u64,
}

/// What it has to do with the room's state.
#[derive(Clone, Debug, Serialize)]
struct State {
    /// The record that made the state before it.
    before: u64,
    /// That state was resolved, or came from another server.
    before_was_set: bool,
    /// Records by which the state was resolved when it came.
    resolved: Vec<Resolution>,
    /// For a state event: it is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<bool>,
}

/// The state was resolved.
#[derive(Clone, Debug, Serialize)]
struct Resolution {
    sequence: u64,
    changed_keys: usize,
}

/// A user of this server in the room.
#[derive(Clone, Debug, Serialize)]
struct Heard {
    user_id: OwnedUserId,
    /// `heard`, `behind`, or `asleep` when nobody syncs: then it is read from the log with the next sync.
    feed: &'static str,
    /// Everything of the shard up to here was heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    /// So far is that from the event's position; negative when it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<i64>,
    /// The push rules in force notify of it. Not told of those without pushers.
    #[serde(skip_serializing_if = "Option::is_none")]
    notifies: Option<bool>,
    /// What the user's pushers have told.
    pushes: Vec<Told>,
}

/// What a pusher has told of the event.
#[derive(Clone, Debug, Serialize)]
struct Told {
    app_id: String,
    /// The device that set the pusher. Its key is not told: whoever has that can push to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    /// `pushed`, `waiting`, `not_read`, `silent`, `off`, `older`, `overtaken`, `passed` or `ended`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed_ts: Option<u64>,
    /// Failures since the last success.
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since_ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_ts: Option<u64>,
    /// When the pusher was removed, and not by its user.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_ts: Option<u64>,
    /// Why the last attempt failed, or the pusher was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A time of 0 is none.
fn known(at_ms: u64) -> Option<u64> {
    (at_ms > 0).then_some(at_ms)
}

/// A destination that it is for.
#[derive(Clone, Debug, Serialize)]
struct Sent {
    server_name: OwnedServerName,
    /// `delivered`, `in_flight`, `waiting`, `behind` or `not_read`.
    state: &'static str,
    failures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since_ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_ts: Option<u64>,
}

impl Heard {
    fn of(listener: Listener, position: u64) -> Self {
        let known = listener.place.map(|place| place.known);
        let notifies = listener.pushes.as_ref().map(|pushes| pushes.notifies);
        Self {
            user_id: listener.user_id,
            feed: match known {
                None => "asleep",
                Some(known) if known >= position => "heard",
                Some(_) => "behind",
            },
            position: known,
            ahead: known.map(|known| (known as i64).saturating_sub(position as i64)),
            notifies,
            pushes: listener.pushes.map(Told::all).unwrap_or_default(),
        }
    }
}

impl Told {
    fn all(pushes: EventPushes) -> Vec<Self> {
        let pushers = pushes.pushers.into_iter();
        let pushers = pushers.map(|(named, fate)| Self::of(named, fate));
        pushers
            .chain(pushes.ended.into_iter().map(Self::of_ended))
            .collect()
    }

    fn of(named: NamedPusher, fate: PushFate) -> Self {
        let standing = &named.pusher.standing;
        Self {
            state: match fate {
                PushFate::Pushed(_) => "pushed",
                PushFate::Waiting => "waiting",
                PushFate::Unread => "not_read",
                PushFate::Silent => "silent",
                PushFate::Off => "off",
                PushFate::Older => "older",
                PushFate::Overtaken => "overtaken",
                PushFate::Passed => "passed",
            },
            pushed_ts: match fate {
                PushFate::Pushed(at_ms) => Some(at_ms),
                _ => None,
            },
            failures: standing.failures,
            failing_since_ts: known(standing.failing_since_ms),
            next_attempt_ts: known(standing.next_ms),
            ended_ts: None,
            reason: standing.reason.clone(),
            app_id: named.app_id,
            device_id: named.pusher.device_id,
        }
    }

    fn of_ended(ended: EndedPusher) -> Self {
        Self {
            app_id: ended.app_id,
            device_id: None,
            state: "ended",
            pushed_ts: None,
            failures: 0,
            failing_since_ts: None,
            next_attempt_ts: None,
            ended_ts: known(ended.at_ms),
            reason: Some(ended.reason),
        }
    }
}

impl Sent {
    fn of((server_name, outlook): (OwnedServerName, Outlook)) -> Self {
        Self {
            server_name,
            state: match outlook.arrival {
                Some(Arrival::Delivered) => "delivered",
                Some(Arrival::InFlight) => "in_flight",
                Some(Arrival::Waiting) => "waiting",
                Some(Arrival::Behind) => "behind",
                Some(Arrival::Undistributed) | None => "not_read",
            },
            failures: outlook.failures,
            failing_since_ts: known(outlook.failing_since_ms),
            next_attempt_ts: known(outlook.next_ms),
            last_success_ts: known(outlook.acknowledged_ms),
        }
    }
}

fn verdict(verdict: &Verdict) -> (&'static str, Option<String>) {
    match verdict {
        Verdict::Accepted => ("accepted", None),
        Verdict::SoftFailed(reason) => ("soft_failed", Some(reason.clone())),
        Verdict::Rejected(reason) => ("rejected", Some(reason.clone())),
        Verdict::Held => ("held", Some("what it redacts is not known yet".to_owned())),
        Verdict::Powerless => (
            "powerless",
            Some("its sender may not redact that event".to_owned()),
        ),
    }
}

impl Shown {
    fn of(journey: EventJourney, made_here: bool) -> Self {
        let event = &journey.event;
        let pdu = &event.pdu;
        let (verdict, reason) = verdict(&event.verdict);
        let resolved = journey.resolutions.iter();
        let resolved = resolved.map(|(sequence, changed)| Resolution {
            sequence: *sequence,
            changed_keys: *changed,
        });
        let position = journey.position;
        let users = journey.users.into_iter();
        Self {
            event_id: pdu.event_id.clone(),
            event_type: pdu.event_type.to_string(),
            state_key: pdu.state_key.clone(),
            sender: pdu.sender.clone(),
            origin: pdu.sender.server_name().to_owned(),
            made_here,
            received_from: (!made_here).then(|| match &event.from {
                Some(other) => other.to_string(),
                None => pdu.sender.server_name().to_string(),
            }),
            origin_server_ts: pdu.origin_server_ts.0.into(),
            received_ts: journey.recorded_ms,
            stored: Stored {
                shard: journey.shard.number,
                position,
                sequence: event.sequence,
            },
            verdict,
            reason,
            placement: match event.placement {
                Placement::Live => "live",
                Placement::Backfilled => "backfilled",
                Placement::Outlier => "outlier",
            },
            state: State {
                before: journey.state_before.0,
                before_was_set: journey.state_before.1,
                resolved: resolved.collect(),
                in_force: journey.in_force,
            },
            room_id: journey.room_id,
            redacted_by: journey.redacted_by,
            forward_extremity: journey.is_end,
            users: users.map(|user| Heard::of(user, position)).collect(),
            users_next: journey.users_next,
            destinations: journey.servers.into_iter().map(Sent::of).collect(),
            destinations_next: journey.servers_next,
        }
    }
}

/// Tells the way of an event: when it came, what was said of it, and whom it has reached.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let wish = JourneyWish {
        event_id: request.event_id,
        users_after: request.users_from.unwrap_or_default(),
        servers_after: request.destinations_from.unwrap_or_default(),
        limit: request.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX) as usize,
    };
    let journey = app.house.event_journey(&wish).await?;
    let made_here = app.house.is_local(journey.event.pdu.sender.server_name());
    Ok(Response {
        journey: Shown::of(journey, made_here),
    })
}
