//! Playhouse beside a real Synapse. Whatever can be done in either direction is.

mod crypto;
mod faults;
mod finding;
mod joins;
mod past;
mod personal;
mod rules;
mod talk;

use std::{
    collections::BTreeMap,
    process::Child,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{
    client::{
        props::{filter, ids, list, next_batch, text},
        stage::fresh,
    },
    harness::{
        Client, Synapse, TestServer, Town,
        client::{Answer, encode},
    },
};

/// What servers have to tell each other they have told within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where clients ask Playhouse, at its address.
const CLIENT_PORT: u16 = 8008;

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// A Playhouse and a Synapse that find each other.
pub(super) struct Pair {
    playhouse: TestServer,
    synapse: Synapse,
    town: Town,
}

struct Shared {
    pair: Pair,
    _guards: [Child; 2],
}

impl Pair {
    /// A pair of one test's own, which may be killed.
    async fn start() -> Self {
        let town = Town::of_addresses(2);
        let names = town.names();
        // Where clients ask it stays the same when it is started again.
        let clients = format!("{}:{CLIENT_PORT}", town.house(&names[0]).address.ip());
        let playhouse = town
            .open(&names[0], &[("PLAYHOUSE_LISTEN", &clients)])
            .await;
        let synapse = Synapse::start(&town, &names[1]).await;
        Self {
            playhouse,
            synapse,
            town,
        }
    }

    /// The pair that tests share.
    async fn shared() -> &'static Self {
        let shared = SHARED.get_or_init(async || {
            let pair = Self::start().await;
            let guards = [
                pair.playhouse.end_with_program(),
                pair.synapse.end_with_program(&pair.town),
            ];
            Shared {
                pair,
                _guards: guards,
            }
        });
        &shared.await.pair
    }

    /// Somebody at Playhouse and somebody at Synapse.
    async fn users(&self) -> (Client, Client) {
        let ours = self.playhouse.register(&fresh("anna")).await;
        (ours, self.synapse.register(&fresh("bert")).await)
    }
}

/// Plays with a host and a guest of new accounts on the shared pair: first the host is ours, then the guest.
async fn both_ways(play: impl AsyncFn(&Client, &Client)) {
    let pair = Pair::shared().await;
    let (ours, theirs) = pair.users().await;
    tell("the host is ours");
    play(&ours, &theirs).await;
    tell("the guest is ours");
    play(&theirs, &ours).await;
}

#[expect(
    clippy::print_stdout,
    reason = "a failed test should say in which direction"
)]
fn tell(direction: &str) {
    println!("{direction}");
}

/// The name of a user's server.
fn server_of(client: &Client) -> &str {
    let (_, server) = client.user_id.split_once(':').expect("a user ID");
    server
}

/// The alias that a room of this host has by this name.
fn alias(host: &Client, name: &str) -> String {
    format!("#{name}:{}", server_of(host))
}

/// Waits until something holds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> Result<(), String>) {
    let end = Instant::now() + PATIENCE;
    while let Err(state) = holds().await {
        assert!(Instant::now() < end, "{what}: {state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until a user's sync is as wanted, looking first at all there is, then at what comes.
async fn comes(client: &Client, wanted: impl Fn(&Value) -> bool) -> Value {
    let limit = filter(&json!({"room": {"timeline": {"limit": 100}}}));
    let whole = client.sync(None, &limit).await;
    if wanted(&whole) {
        return whole;
    }
    client.sync_until(&next_batch(&whole), "", wanted).await
}

/// Waits until a user's sync shows an event.
async fn sees(client: &Client, room_id: &str, event_id: &str) {
    comes(client, |answer| {
        let timeline = &answer["rooms"]["join"][room_id]["timeline"]["events"];
        timeline.is_array() && ids(timeline).iter().any(|id| id == event_id)
    })
    .await;
}

/// Waits until a user's sync shows an invite to a room, and gives what is told of it.
async fn invited(client: &Client, room_id: &str) -> Value {
    let answer = comes(client, |answer| {
        answer["rooms"]["invite"][room_id].is_object()
    });
    answer.await["rooms"]["invite"][room_id]["invite_state"]["events"].clone()
}

/// Waits until a user's sync no longer shows a room among those joined, or those to which there is an invite.
async fn is_gone(client: &Client, kind: &str, room_id: &str) {
    eventually("still there", async || {
        let shown = client.sync(None, "").await["rooms"][kind][room_id].clone();
        if shown.is_null() {
            return Ok(());
        }
        Err(shown.to_string())
    })
    .await;
}

/// A room's state, by key.
async fn state(client: &Client, room_id: &str) -> BTreeMap<(String, String), Value> {
    let state = client.look(room_id, "state").await.ok();
    let entries = list(&state).iter().map(|event| {
        let key = (text(&event["type"]), text(&event["state_key"]));
        let value = json!([event["event_id"], event["sender"], event["content"]]);
        (key, value)
    });
    entries.collect()
}

/// The IDs of a room's whole history, newest first.
async fn timeline(client: &Client, room_id: &str) -> Vec<String> {
    let newest = client.look(room_id, "messages?dir=b&limit=100").await.ok();
    let mut found = ids(&newest["chunk"]);
    if let Some(end) = newest["end"].as_str() {
        let older = client.page_back(room_id, end, 100).await;
        found.extend(ids(&Value::Array(older)));
    }
    found
}

/// Waits until two users see the same state and the same timeline.
async fn agree(one: &Client, other: &Client, room_id: &str) {
    same_state(one, other, room_id).await;
    eventually("timelines differ", async || {
        let (one, other) = (timeline(one, room_id).await, timeline(other, room_id).await);
        if one == other {
            return Ok(());
        }
        Err(format!("{one:#?}, but {other:#?}"))
    })
    .await;
}

/// Waits until two users see the same state.
async fn same_state(one: &Client, other: &Client, room_id: &str) {
    eventually("state differs", async || {
        let (one, other) = (state(one, room_id).await, state(other, room_id).await);
        if one == other {
            return Ok(());
        }
        let only = |a: &BTreeMap<_, _>, b: &BTreeMap<_, _>| {
            let mut only = a.clone();
            only.retain(|key, value| b.get(key) != Some(value));
            format!("{only:#?}")
        };
        Err(format!(
            "{}, but {}",
            only(&one, &other),
            only(&other, &one)
        ))
    })
    .await;
}

/// Waits until a user sees that somebody is a member in this way.
async fn sees_membership(client: &Client, room_id: &str, whose: &Client, wanted: &str) {
    let path = format!("state/m.room.member/{}", encode(&whose.user_id));
    eventually("membership", async || {
        let seen = client.look(room_id, &path).await.body["membership"].clone();
        if seen == wanted {
            return Ok(());
        }
        Err(format!("{seen} instead of {wanted}"))
    })
    .await;
}

/// Asks for a way into a room (`join`, `knock`) through the server of somebody who is in it.
async fn through(client: &Client, way: &str, room_id: &str, member: &Client) -> Answer {
    let (room, server) = (encode(room_id), encode(server_of(member)));
    let path = format!("/_matrix/client/v3/{way}/{room}?via={server}&server_name={server}");
    client.post(&path, json!({})).await
}

/// A public room of the host that the guest has joined by its alias.
async fn shared_room(host: &Client, guest: &Client, mut wish: Value) -> String {
    let name = fresh("square");
    wish["preset"] = json!("public_chat");
    wish["room_alias_name"] = json!(name);
    let room_id = host.create_room(wish).await;
    guest.join(&alias(host, &name)).await;
    room_id
}
