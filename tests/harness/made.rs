//! Events of played servers, and whole rooms of them.

use playhouse_actors::env::Signer;
use ruma::{
    CanonicalJsonObject, RoomVersionId,
    room_version_rules::RoomVersionRules,
    signatures::{hash_and_sign_event, reference_hash},
};
use serde_json::{Value, json};

use super::{
    peer::env,
    script::{Asked, Reply},
};

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) json: Value,
}

/// All played rooms are of version 11.
fn rules() -> RoomVersionRules {
    RoomVersionId::V11.rules().expect("a known version")
}

/// The name of a user's server.
pub(crate) fn server_of(user_id: &str) -> &str {
    user_id.split_once(':').map_or("", |(_, name)| name)
}

/// The ID of an event; nothing for what is none.
pub(crate) fn id_of(event: &Value) -> String {
    let object: Result<CanonicalJsonObject, _> = serde_json::from_value(event.clone());
    let hash = object.map(|object| reference_hash(&object, &rules()));
    hash.ok()
        .and_then(Result::ok)
        .map_or_else(String::new, |hash| format!("${hash}"))
}

/// Hashes and signs an event in the name of a server.
pub(crate) fn sealed(name: &str, event: Value) -> Made {
    sealed_by(&env(name).identity.signer, name, event)
}

/// The same with another key than the server's, under the ID of the server's.
pub(crate) fn sealed_wrongly(name: &str, event: Value) -> Made {
    let signer = Signer::from_seed("peer", &[1; 32]).expect("a key");
    sealed_by(&signer, name, event)
}

fn sealed_by(signer: &Signer, name: &str, event: Value) -> Made {
    let mut object: CanonicalJsonObject = serde_json::from_value(event).expect("canonical JSON");
    let rules = rules();
    hash_and_sign_event(name, signer, &mut object, &rules.redaction).expect("it can be signed");
    let json = serde_json::to_value(&object).expect("JSON");
    Made {
        id: id_of(&json),
        json,
    }
}

/// An event of which a wish says some things. What authorises it, if the wish does not say that, is found in the state that is known, by type and state key.
pub(crate) fn draft(
    mut event: Value,
    wish: &Value,
    known: impl Fn(&str, &str) -> Option<String>,
) -> Value {
    for (key, value) in wish.as_object().expect("an object") {
        event[key] = value.clone();
    }
    if event["auth_events"].is_null() {
        event["auth_events"] = json!(authorising(&event, known));
    }
    event
}

fn authorising(event: &Value, known: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    let sender = event["sender"].as_str().unwrap_or_default();
    let mut keys = vec![
        ("m.room.create", ""),
        ("m.room.power_levels", ""),
        ("m.room.member", sender),
    ];
    if event["type"] == "m.room.member" {
        let target = event["state_key"].as_str().unwrap_or_default();
        if target != sender {
            keys.push(("m.room.member", target));
        }
        if event["content"]["membership"] == "join" {
            keys.push(("m.room.join_rules", ""));
        }
    }
    let keys = keys.into_iter();
    keys.filter_map(|(event_type, state_key)| known(event_type, state_key))
        .collect()
}

/// The time by this machine's clock.
pub(crate) fn now_ms() -> u64 {
    env("clock.test").now_ms()
}

/// The time of day (UTC), as logs have it.
pub(crate) fn of_day(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// A public room of played servers, which one of them lets others into.
#[derive(Clone)]
pub(crate) struct PlayedRoom {
    pub(crate) room_id: String,
    /// The server that lets others in.
    pub(crate) server: String,
    /// Its state: create event, first member, power levels, join rules, the other members.
    pub(crate) state: Vec<Made>,
}

impl PlayedRoom {
    /// Makes a room of these users; the first one makes it.
    pub(crate) fn new(localpart: &str, users: &[String]) -> Self {
        let maker = users.first().expect("somebody makes the room");
        let server = server_of(maker).to_owned();
        let mut room = Self {
            room_id: format!("!{localpart}:{server}"),
            server,
            state: Vec::with_capacity(users.len() + 3),
        };
        let join = json!({"membership": "join"});
        room.add(maker, ("m.room.create", ""), json!({"room_version": "11"}));
        room.add(maker, ("m.room.member", maker), join.clone());
        let powers = json!({"users": {maker: 100}});
        room.add(maker, ("m.room.power_levels", ""), powers);
        room.add(
            maker,
            ("m.room.join_rules", ""),
            json!({"join_rule": "public"}),
        );
        for user_id in &users[1..] {
            room.add(user_id, ("m.room.member", user_id), join.clone());
        }
        room
    }

    fn add(&mut self, sender: &str, (event_type, state_key): (&str, &str), content: Value) {
        let authorising: &[usize] = match self.state.len() {
            0 => &[],
            1 => &[0],
            2 => &[0, 1],
            3 => &[0, 2, 1],
            _ => &[0, 2, 3],
        };
        let authorising = authorising.iter().map(|index| &self.state[*index].id);
        let event = json!({
            "type": event_type, "state_key": state_key, "content": content, "sender": sender, "room_id": self.room_id,
            "prev_events": self.state.last().map(|made| &made.id).into_iter().collect::<Vec<_>>(),
            "auth_events": authorising.collect::<Vec<_>>(),
            "depth": self.state.len() + 1, "origin_server_ts": now_ms(),
        });
        self.state.push(sealed(server_of(sender), event));
    }

    /// The template of somebody's join.
    pub(crate) fn template(&self, user_id: &str) -> Value {
        let id = |index: usize| &self.state[index].id;
        json!({"room_version": "11", "event": {
            "type": "m.room.member", "state_key": user_id, "sender": user_id, "room_id": self.room_id,
            "content": {"membership": "join"}, "depth": self.state.len() + 1,
            "prev_events": [id(self.state.len() - 1)], "auth_events": [id(0), id(2), id(3)],
        }})
    }

    /// What a join is answered with.
    pub(crate) fn arrival(&self, join: &Value) -> Value {
        let state: Vec<_> = self.state.iter().map(|made| &made.json).collect();
        json!({
            "state": state, "auth_chain": state[..4], "event": join, "members_omitted": false,
            "servers_in_room": [self.server], "origin": self.server,
        })
    }

    /// Lets others in.
    pub(crate) fn reply(&self, asked: &Asked<'_>) -> Option<Reply> {
        let rest = asked.path.strip_prefix("/_matrix/federation/")?;
        if let Some(rest) = rest.strip_prefix("v1/make_join/") {
            let user = rest.split(['/', '?']).nth(1)?;
            let user = user.replace("%40", "@").replace("%3A", ":");
            return Some(Reply::Json(200, self.template(&user)));
        }
        rest.starts_with("v2/send_join/")
            .then(|| Reply::Json(200, self.arrival(asked.body)))
    }
}
