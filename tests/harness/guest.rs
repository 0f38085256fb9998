//! A user of a played server in a room of ours, and the events that its server makes.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Client,
    client::encode,
    made::{Made, draft, id_of, now_ms, sealed, server_of},
    peer::{ask_of, finish},
    server::SERVER_NAME,
};

/// A user in a room, and the room as the user's server knows it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) user_id: String,
    pub(crate) room_id: String,
    /// By event type and state key.
    pub(crate) state: BTreeMap<(String, String), String>,
    /// The newest event that it knows.
    pub(crate) last: String,
    pub(crate) depth: i64,
}

impl Guest {
    /// Joins a room of ours.
    pub(crate) async fn join(client: &Client, room_id: &str, user_id: &str) -> Self {
        Self::join_at((client, SERVER_NAME), room_id, user_id).await
    }

    /// Joins a room by way of the server of this name, at which a client is.
    pub(crate) async fn join_at(
        (client, destination): (&Client, &str),
        room_id: &str,
        user_id: &str,
    ) -> Self {
        let name = server_of(user_id);
        let way = (name, destination);
        let (room, user) = (encode(room_id), encode(user_id));
        let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver=11");
        let made = ask_of(way, client, (Method::GET, &path), None).await.ok();
        let join = finish(name, &made, "join");
        let path = format!(
            "/_matrix/federation/v2/send_join/{room}/{}",
            encode(join.event_id.as_str())
        );
        let event = Some(join.json.get());
        let told = ask_of(way, client, (Method::PUT, &path), event).await.ok();
        let mut guest = Self {
            user_id: user_id.to_owned(),
            room_id: room_id.to_owned(),
            state: BTreeMap::new(),
            last: join.event_id.to_string(),
            depth: made["event"]["depth"].as_i64().expect("a depth") + 1,
        };
        for event in told["state"].as_array().expect("a state") {
            guest.knows(event);
        }
        guest.knows(&serde_json::from_str(join.json.get()).expect("JSON"));
        guest
    }

    /// Notes a state event.
    pub(crate) fn knows(&mut self, event: &Value) {
        let text = |key: &str| event[key].as_str().expect("a text").to_owned();
        let key = (text("type"), text("state_key"));
        self.state.insert(key, id_of(event));
    }

    /// An event under a key of the state.
    pub(crate) fn known(&self, event_type: &str, state_key: &str) -> Option<String> {
        let key = (event_type.to_owned(), state_key.to_owned());
        self.state.get(&key).cloned()
    }

    /// The event that a wish makes: what it lacks is as it should be.
    pub(crate) fn draft(&self, wish: Value) -> Value {
        let event = json!({
            "sender": self.user_id, "room_id": self.room_id, "prev_events": [self.last], "depth": self.depth,
            "origin_server_ts": now_ms(), "content": {}, "type": "m.room.message",
        });
        let known = |event_type: &str, state_key: &str| self.known(event_type, state_key);
        draft(event, &wish, known)
    }

    /// The same, hashed and signed by the user's server.
    pub(crate) fn event(&self, wish: Value) -> Made {
        sealed(server_of(&self.user_id), self.draft(wish))
    }

    /// A message.
    pub(crate) fn text(&self, body: &str) -> Made {
        self.event(json!({"content": {"msgtype": "m.text", "body": body}}))
    }

    /// From now on its events follow this one.
    pub(crate) fn follow(&mut self, event: &Made) {
        self.last.clone_from(&event.id);
        self.depth = event.json["depth"].as_i64().unwrap_or(self.depth) + 1;
    }
}
