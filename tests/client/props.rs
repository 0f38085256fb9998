//! What most tests do and look at.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    client::stage::fresh,
    harness::{
        Client,
        client::{Answer, encode},
    },
};

/// What a test waits for comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The path of something in a room.
pub(crate) fn room_path(room_id: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room_id))
}

/// The path of something of a user.
pub(crate) fn user_path(user_id: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/user/{}/{rest}", encode(user_id))
}

/// The events of a list.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// The events of a list that is left out when it is empty.
pub(crate) fn list_or_none(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// One field of each event of a list, as text; absent ones are left out.
#[track_caller]
pub(crate) fn texts(events: &Value, pointer: &str) -> Vec<String> {
    list(events)
        .iter()
        .filter_map(|event| Some(event.pointer(pointer)?.as_str()?.to_owned()))
        .collect()
}

/// What was said.
#[track_caller]
pub(crate) fn said(events: &Value) -> Vec<String> {
    texts(events, "/content/body")
}

/// The IDs of events.
#[track_caller]
pub(crate) fn ids(events: &Value) -> Vec<String> {
    texts(events, "/event_id")
}

/// The types of events.
#[track_caller]
pub(crate) fn types(events: &Value) -> Vec<String> {
    texts(events, "/type")
}

/// The event of this type in a list; `null` when there is none.
#[track_caller]
pub(crate) fn of_type<'a>(events: &'a Value, event_type: &str) -> &'a Value {
    let found = list(events)
        .iter()
        .find(|event| event["type"] == event_type);
    found.unwrap_or(&Value::Null)
}

/// The user IDs whose member events are in a list, sorted.
#[track_caller]
pub(crate) fn members(events: &Value) -> Vec<String> {
    let mut members: Vec<_> = list(events)
        .iter()
        .filter(|event| event["type"] == "m.room.member")
        .filter_map(|event| Some(event["state_key"].as_str()?.to_owned()))
        .collect();
    members.sort();
    members
}

/// A value as text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// The token of a sync.
#[track_caller]
pub(crate) fn next_batch(answer: &Value) -> String {
    text(&answer["next_batch"])
}

/// A filter as a query parameter.
pub(crate) fn filter(filter: &Value) -> String {
    format!("filter={}", encode(&filter.to_string()))
}

/// A sync's query with a timeout, if it has none.
fn patient(query: &str) -> String {
    if query.contains("timeout=") {
        query.to_owned()
    } else {
        format!("{query}&timeout=2000")
    }
}

impl Client {
    /// POST to something in a room.
    pub(crate) async fn act(&self, room_id: &str, action: &str, body: Value) -> Answer {
        self.post(&room_path(room_id, action), body).await
    }

    /// GET something in a room.
    pub(crate) async fn look(&self, room_id: &str, what: &str) -> Answer {
        self.get(&room_path(room_id, what)).await
    }

    /// Invites somebody.
    pub(crate) async fn invite(&self, room_id: &str, guest: &Self) {
        let body = json!({ "user_id": guest.user_id });
        self.act(room_id, "invite", body).await.ok();
    }

    /// Leaves a room.
    pub(crate) async fn leave(&self, room_id: &str) {
        self.act(room_id, "leave", json!({})).await.ok();
    }

    /// Sends any event and gives its ID.
    pub(crate) async fn send(&self, room_id: &str, event_type: &str, content: Value) -> String {
        let path = room_path(room_id, &format!("send/{event_type}/{}", fresh("x")));
        text(&self.put(&path, content).await.ok()["event_id"])
    }

    /// Redacts an event and gives the redaction's ID.
    pub(crate) async fn redact(&self, room_id: &str, event_id: &str) -> String {
        let rest = format!("redact/{}/{}", encode(event_id), fresh("x"));
        let answer = self.put(&room_path(room_id, &rest), json!({})).await.ok();
        text(&answer["event_id"])
    }

    /// A position of this client's sync. What others did just before may or may not be behind it.
    pub(crate) async fn now(&self) -> String {
        next_batch(&self.sync(None, "").await)
    }

    /// A position of this client's sync behind all that has happened in a joined room.
    pub(crate) async fn now_in(&self, room_id: &str) -> String {
        let newest = self.look(room_id, "messages?dir=b&limit=1").await.ok();
        let newest = newest["chunk"][0]["event_id"].clone();
        let has_newest = |answer: &Value| {
            let events = answer["rooms"]["join"][room_id]["timeline"]["events"].as_array();
            events
                .and_then(|events| events.last())
                .is_some_and(|event| event["event_id"] == newest)
        };
        next_batch(&self.sync_anew_until("", has_newest).await)
    }

    /// Waits until this client's syncs tell all that has happened in joined rooms.
    pub(crate) async fn now_in_all(&self, rooms: &[String]) {
        for room_id in rooms {
            self.now_in(room_id).await;
        }
    }

    /// Syncs without a token until an answer is as wanted, and gives that answer.
    pub(crate) async fn sync_anew_until(
        &self,
        query: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.sync(None, query).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "it never came: {answer}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Syncs on from a token until an answer is as wanted, and gives that answer.
    pub(crate) async fn sync_until(
        &self,
        since: &str,
        query: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let started = Instant::now();
        let mut since = since.to_owned();
        loop {
            let answer = self.sync(Some(&since), &patient(query)).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(started.elapsed() < PATIENCE, "it never came: {answer}");
            since = next_batch(&answer);
        }
    }

    /// Syncs on from a token until a room's timeline has this event. Gives all events of its timeline on the way, and the token behind them.
    pub(crate) async fn sync_to(
        &self,
        since: &str,
        room_id: &str,
        event_id: &str,
    ) -> (Vec<Value>, String) {
        let started = Instant::now();
        let mut since = since.to_owned();
        let mut seen = Vec::new();
        loop {
            let answer = self.sync(Some(&since), "timeout=2000").await;
            since = next_batch(&answer);
            let timeline = &answer["rooms"]["join"][room_id]["timeline"];
            assert_ne!(timeline["limited"], true, "{timeline}");
            seen.extend(timeline["events"].as_array().into_iter().flatten().cloned());
            if seen.iter().any(|event| event["event_id"] == event_id) {
                return (seen, since);
            }
            assert!(started.elapsed() < PATIENCE, "it never came: {seen:?}");
        }
    }

    /// A room's history, newest first, by paging `/messages` backwards from a token in pages of this size.
    pub(crate) async fn page_back(&self, room_id: &str, from: &str, limit: u32) -> Vec<Value> {
        let mut events = Vec::new();
        let mut from = from.to_owned();
        loop {
            let rest = format!("messages?dir=b&limit={limit}&from={}", encode(&from));
            let page = self.look(room_id, &rest).await.ok();
            events.extend(list(&page["chunk"]).iter().cloned());
            match page["end"].as_str() {
                Some(end) => end.clone_into(&mut from),
                None => return events,
            }
        }
    }
}
