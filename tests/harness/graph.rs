//! A played room as its servers have it: its events, its state, and its state before those events by which others came in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::made::{Made, PlayedRoom, draft, now_ms, sealed, server_of};

/// An event.
struct Kept {
    text: String,
    auth_events: Vec<String>,
    is_member: bool,
}

/// A room whose events follow each other in a line.
#[derive(Default)]
pub(super) struct Graph {
    room_id: String,
    events: BTreeMap<String, Kept>,
    /// By event type and state key.
    state: BTreeMap<(String, String), String>,
    /// By the IDs of the joins that were handed over.
    before: BTreeMap<String, Vec<String>>,
    last: String,
    depth: i64,
}

impl Graph {
    pub(super) fn of(room: &PlayedRoom) -> Self {
        let mut graph = Self {
            room_id: room.room_id.clone(),
            ..Self::default()
        };
        for made in &room.state {
            graph.keep(made);
        }
        graph
    }

    /// Takes an event in as the newest, unless it is known.
    pub(super) fn keep(&mut self, made: &Made) {
        if self.events.contains_key(&made.id) {
            return;
        }
        let event = &made.json;
        if let (Some(event_type), Some(state_key)) =
            (event["type"].as_str(), event["state_key"].as_str())
        {
            let key = (event_type.to_owned(), state_key.to_owned());
            self.state.insert(key, made.id.clone());
        }
        let auth_events = event["auth_events"].as_array().into_iter().flatten();
        let auth_events = auth_events.filter_map(Value::as_str);
        let kept = Kept {
            text: event.to_string(),
            auth_events: auth_events.map(ToOwned::to_owned).collect(),
            is_member: event["type"] == "m.room.member",
        };
        self.events.insert(made.id.clone(), kept);
        self.last.clone_from(&made.id);
        self.depth = event["depth"].as_i64().unwrap_or(self.depth);
    }

    /// An event that follows the newest: what a wish lacks is as it should be.
    pub(super) fn made(&self, sender: &str, wish: &Value) -> Made {
        let event = json!({
            "type": "m.room.message", "content": {}, "sender": sender, "room_id": self.room_id, "prev_events": [self.last],
            "depth": self.depth + 1, "origin_server_ts": now_ms(),
        });
        let known = |event_type: &str, state_key: &str| self.known(event_type, state_key);
        sealed(server_of(sender), draft(event, wish, known))
    }

    /// The template of somebody's join, or leave.
    pub(super) fn template(&self, user_id: &str, membership: &str) -> Value {
        let event = json!({
            "type": "m.room.member", "state_key": user_id, "sender": user_id, "room_id": self.room_id,
            "content": {"membership": membership}, "depth": self.depth + 1, "prev_events": [self.last],
        });
        let known = |event_type: &str, state_key: &str| self.known(event_type, state_key);
        json!({"room_version": "11", "event": draft(event, &json!({}), known)})
    }

    fn known(&self, event_type: &str, state_key: &str) -> Option<String> {
        let key = (event_type.to_owned(), state_key.to_owned());
        self.state.get(&key).cloned()
    }

    /// Takes a join in: the state before it and what authorises that, as lists in JSON. A lean answer has only those members that authorise something, and
    /// nothing in both lists.
    pub(super) fn arrive(&mut self, join: &Made, is_lean: bool) -> (String, String) {
        let now = || self.state.values().cloned().collect();
        let state: Vec<String> = self.before.get(&join.id).cloned().unwrap_or_else(now);
        self.keep(join);
        let listed = state.iter().map(String::as_str);
        let listed: Vec<_> = listed
            .filter(|event_id| !is_lean || !self.is_member(event_id))
            .collect();
        let all = listed.iter().copied();
        let mut chain = self.chain(all.chain([join.id.as_str()]));
        if is_lean {
            chain.retain(|event_id| !listed.contains(event_id));
        }
        let told = (self.list(listed), self.list(chain));
        self.before.insert(join.id.clone(), state);
        told
    }

    fn is_member(&self, event_id: &str) -> bool {
        let kept = self.events.get(event_id);
        kept.is_some_and(|kept| kept.is_member)
    }

    /// What authorises events, and what authorises those.
    fn chain<'a>(&'a self, event_ids: impl IntoIterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut open: Vec<&str> = event_ids.into_iter().collect();
        let mut chain = BTreeSet::new();
        while let Some(event_id) = open.pop() {
            let Some(kept) = self.events.get(event_id) else {
                continue;
            };
            for event_id in &kept.auth_events {
                if chain.insert(event_id.as_str()) {
                    open.push(event_id);
                }
            }
        }
        chain
    }

    fn list<'a>(&self, event_ids: impl IntoIterator<Item = &'a str>) -> String {
        let kept = event_ids.into_iter().filter_map(|id| self.events.get(id));
        let texts: Vec<_> = kept.map(|kept| kept.text.as_str()).collect();
        format!("[{}]", texts.join(","))
    }

    /// The answer to `state`, for a join that was handed over.
    pub(super) fn state_before(&self, event_id: &str) -> Option<String> {
        let state = self.before.get(event_id)?;
        let ids = || state.iter().map(String::as_str);
        let (pdus, auth_chain) = (self.list(ids()), self.list(self.chain(ids())));
        Some(format!(r#"{{"pdus":{pdus},"auth_chain":{auth_chain}}}"#))
    }

    /// The answer to `state_ids`, for a join that was handed over.
    pub(super) fn state_ids_before(&self, event_id: &str) -> Option<String> {
        let state = self.before.get(event_id)?;
        let chain = self.chain(state.iter().map(String::as_str));
        let told = json!({"pdu_ids": state, "auth_chain_ids": chain});
        Some(told.to_string())
    }

    /// The answer to `event_auth`.
    pub(super) fn event_auth(&self, event_id: &str) -> Option<String> {
        let (event_id, _) = self.events.get_key_value(event_id)?;
        let auth_chain = self.list(self.chain([event_id.as_str()]));
        Some(format!(r#"{{"auth_chain":{auth_chain}}}"#))
    }

    /// The answer to `get_missing_events`: what comes right before some events.
    pub(super) fn missing_before(&self, latest: &Value) -> String {
        let latest = latest.as_array().into_iter().flatten();
        let latest = latest.filter_map(|id| self.events.get(id.as_str()?));
        let mut before: Vec<String> = Vec::new();
        for kept in latest {
            let event: Value = serde_json::from_str(&kept.text).expect("JSON");
            let prev_events = event["prev_events"].as_array().into_iter().flatten();
            before.extend(prev_events.filter_map(|id| id.as_str().map(ToOwned::to_owned)));
        }
        let events = self.list(before.iter().map(String::as_str));
        format!(r#"{{"events":{events}}}"#)
    }

    /// The answer to `event`.
    pub(super) fn event(&self, event_id: &str) -> Option<String> {
        let text = &self.events.get(event_id)?.text;
        Some(format!(
            r#"{{"origin":"played","origin_server_ts":1,"pdus":[{text}]}}"#
        ))
    }
}
