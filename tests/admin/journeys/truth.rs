//! What is true of an event, and what an account of its way lacks.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::run::{AWAY, Run, Site};
use crate::{client::props::list_or_none, harness::made::server_of};

/// What is known to have become of events.
#[derive(Default)]
pub(super) struct Truth {
    /// What the played servers brought to each server.
    pub(super) brought: Vec<String>,
    pub(super) rejected: BTreeSet<String>,
    pub(super) soft_failed: BTreeSet<String>,
    /// Each with its redaction.
    pub(super) redacted: BTreeMap<String, String>,
    /// What was said when a server was away, each with the server whose user said it.
    pub(super) late: BTreeMap<String, &'static str>,
}

/// An event as it is seen at a server.
pub(super) struct View<'a> {
    pub(super) run: &'a Run,
    pub(super) site: &'a Site,
    /// The state in force there.
    pub(super) state: &'a BTreeSet<String>,
    /// The ends of the event graph there.
    pub(super) ends: &'a BTreeSet<String>,
    pub(super) event_id: &'a str,
}

/// Something that an account must have, and whether it has.
type Part = (&'static str, bool);

/// What an account lacks, or says wrongly.
pub(super) fn lacks(told: &Value, view: &View<'_>) -> Vec<&'static str> {
    let parts = [
        of_record(told, view),
        of_verdict(told, view),
        of_state(told, view),
        of_users(told, view),
        of_pushes(told, view),
        of_destinations(told, view),
    ];
    let parts = parts.into_iter().flatten();
    parts
        .filter(|(_, is_so)| !is_so)
        .map(|(name, _)| name)
        .collect()
}

fn is_number(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number > 0)
}

fn is_said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Whether it is for users to see.
fn is_shown(told: &Value) -> bool {
    told["verdict"] == "accepted" && told["placement"] == "live"
}

fn of_record(told: &Value, view: &View<'_>) -> Vec<Part> {
    let origin = server_of(told["sender"].as_str().unwrap_or_default());
    let is_ours = origin == view.site.name;
    let stored = &told["stored"];
    vec![
        ("event_id", told["event_id"] == view.event_id),
        ("room_id", told["room_id"] == view.run.room_id.as_str()),
        ("type", is_said(&told["type"])),
        ("origin", told["origin"] == origin && !origin.is_empty()),
        ("made_here", told["made_here"] == is_ours),
        ("received_from", is_said(&told["received_from"]) != is_ours),
        ("origin_server_ts", is_number(&told["origin_server_ts"])),
        ("received_ts", is_number(&told["received_ts"])),
        ("shard", stored["shard"].is_u64()),
        ("position", is_number(&stored["position"])),
        ("sequence", is_number(&stored["sequence"])),
    ]
}

fn of_verdict(told: &Value, view: &View<'_>) -> Vec<Part> {
    let truth = &view.run.truth;
    let expected = match view.event_id {
        id if truth.rejected.contains(id) => "rejected",
        id if truth.soft_failed.contains(id) => "soft_failed",
        _ => "accepted",
    };
    let redaction = truth.redacted.get(view.event_id);
    let placement = told["placement"].as_str().unwrap_or_default();
    vec![
        ("verdict", told["verdict"] == expected),
        (
            "reason",
            is_said(&told["reason"]) == (expected != "accepted"),
        ),
        ("redacted_by", told["redacted_by"] == json!(redaction)),
        (
            "placement",
            ["live", "backfilled", "outlier"].contains(&placement),
        ),
    ]
}

fn of_state(told: &Value, view: &View<'_>) -> Vec<Part> {
    let state = &told["state"];
    let in_force = match told["state_key"].is_string() {
        true => json!(view.state.contains(view.event_id)),
        false => Value::Null,
    };
    let is_end = view.ends.contains(view.event_id);
    vec![
        (
            "state before",
            state["before"].is_u64() && state["before_was_set"].is_boolean(),
        ),
        ("resolved", state["resolved"].is_array()),
        ("in_force", state["in_force"] == in_force),
        ("forward_extremity", told["forward_extremity"] == is_end),
    ]
}

fn of_users(told: &Value, view: &View<'_>) -> Vec<Part> {
    let users = list_or_none(&told["users"]);
    let mut named: Vec<_> = users
        .iter()
        .filter_map(|user| user["user_id"].as_str())
        .collect();
    named.sort_unstable();
    let mut expected: Vec<_> = view
        .site
        .users
        .iter()
        .map(|user| user.user_id.as_str())
        .collect();
    expected.sort_unstable();
    if !is_shown(told) {
        expected.clear();
    }
    let is_placed = |user: &Value| match user["feed"].as_str() {
        Some("heard") => user["position"].as_u64() >= told["stored"]["position"].as_u64(),
        Some("asleep") => user["position"].is_null(),
        _ => false,
    };
    vec![
        ("users", named == expected),
        ("feeds", users.iter().all(is_placed)),
    ]
}

/// What the one pusher of a user has told; `null` when there is none.
fn push_of<'a>(told: &'a Value, user_id: &str) -> &'a Value {
    let mut users = list_or_none(&told["users"]).iter();
    let user = users.find(|user| user["user_id"] == user_id);
    user.map_or(&Value::Null, |user| &user["pushes"][0])
}

fn of_pushes(told: &Value, view: &View<'_>) -> Vec<Part> {
    if !is_shown(told) {
        return Vec::new();
    }
    let run = view.run;
    let bert = &run.sites[0].users[1].user_id;
    let carl = &run.sites[1].users[0].user_id;
    let users = list_or_none(&told["users"]).iter();
    let mut parts = vec![(
        "pushes of those without pushers",
        users
            .filter(|user| user["user_id"] != bert.as_str() && user["user_id"] != carl.as_str())
            .all(|user| user["pushes"] == json!([]) && user["notifies"].is_null()),
    )];
    let state_is = |push: &Value, states: &[&str]| {
        let state = push["state"].as_str();
        state.is_some_and(|state| states.contains(&state))
    };
    if view.site.name == run.sites[0].name {
        let push = push_of(told, bert);
        let taken = run.bert.gateway.taken(&run.bert.key);
        let is_taken = taken
            .iter()
            .any(|one| one.event_id() == Some(view.event_id));
        let fits = match is_taken {
            true => push["state"] == "pushed" && is_number(&push["pushed_ts"]),
            false => state_is(push, &["silent", "older", "overtaken", "passed"]),
        };
        parts.push(("the push to bert", fits));
    }
    if view.site.name == run.sites[1].name {
        let push = push_of(told, carl);
        let is_others = told["sender"] != carl.as_str();
        let fits = match run.truth.late.contains_key(view.event_id) && is_others {
            true => {
                push["state"] == "waiting"
                    && is_number(&push["failures"])
                    && is_number(&push["failing_since_ts"])
                    && is_number(&push["next_attempt_ts"])
                    && is_said(&push["reason"])
            }
            false => state_is(push, &["waiting", "silent", "older", "passed"]),
        };
        parts.push(("the push to carl", fits));
    }
    parts
}

fn of_destinations(told: &Value, view: &View<'_>) -> Vec<Part> {
    let destinations = list_or_none(&told["destinations"]);
    let named = destinations
        .iter()
        .filter_map(|one| one["server_name"].as_str());
    let named: BTreeSet<_> = named.collect();
    let is_late = view.run.truth.late.contains_key(view.event_id);
    let is_there = |one: &Value| {
        if one["server_name"] == AWAY && is_late {
            return one["state"] != "delivered"
                && is_number(&one["failures"])
                && is_number(&one["failing_since_ts"])
                && is_number(&one["next_attempt_ts"]);
        }
        one["state"] == "delivered"
    };
    let mut parts = vec![("deliveries", destinations.iter().all(is_there))];
    if is_late && told["made_here"] == true {
        let others = view.run.sites.iter().map(|site| site.name);
        let others = others.filter(|name| *name != view.site.name);
        let expected: BTreeSet<_> = others.chain([AWAY]).collect();
        parts.push(("destinations", named == expected));
    }
    // Joins of others may have been handed in to be passed on.
    if !is_shown(told) || (told["made_here"] == false && told["type"] != "m.room.member") {
        parts.push(("nobody to send it to", named.is_empty()));
    }
    parts
}
