//! Our guests in rooms of other servers, which are not told that they are guests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::stage::fresh,
    harness::{
        Client, Options, Peers, TestServer,
        client::{Answer, encode},
        made::{Made, PlayedRoom, now_ms, sealed},
        peer::ask_as,
        script::{Asked, Reply},
    },
};

const NEAR: &str = "near.test";
const BOB: &str = "@bob:near.test";

/// What happened elsewhere is noticed in less.
const PATIENCE: Duration = Duration::from_secs(120);

async fn start(peers: &Peers) -> (TestServer, Client) {
    let mut environment = peers.environment();
    let guests = ("PLAYHOUSE_REGISTRATION_GUESTS", "true");
    environment.push((guests.0.to_owned(), guests.1.to_owned()));
    let server = TestServer::start_with(Options {
        environment,
        ..Options::default()
    })
    .await;
    let nobody = server.client();
    let path = "/_matrix/client/v3/register?kind=guest";
    let registered = nobody.post(path, json!({})).await.ok();
    let guest = nobody.with_session(&registered);
    (server, guest)
}

/// An event of the room's maker.
fn access(room: &PlayedRoom, access: &str, (prev, depth): (&str, usize)) -> Made {
    let authorising = [0, 2, 1].map(|index: usize| &room.state[index].id);
    let event = json!({
        "type": "m.room.guest_access", "state_key": "", "content": {"guest_access": access}, "sender": BOB,
        "room_id": room.room_id, "prev_events": [prev], "auth_events": authorising, "depth": depth,
        "origin_server_ts": now_ms(),
    });
    sealed(NEAR, event)
}

/// A public room of the other server.
fn room(name: &str, guest_access: Option<&str>) -> PlayedRoom {
    let mut room = PlayedRoom::new(name, &[BOB.to_owned()]);
    if let Some(told) = guest_access {
        let last = room.state[3].id.clone();
        let event = access(&room, told, (&last, 5));
        room.state.push(event);
    }
    room
}

/// Has the other server let others in; from outside it tells this of guests. Says whether somebody has begun to join.
fn open(peers: &Peers, room: &PlayedRoom, told: Option<bool>) -> Arc<AtomicBool> {
    let is_asked = Arc::new(AtomicBool::new(false));
    let (room, seen) = (room.clone(), is_asked.clone());
    peers.follow(move |asked: &Asked<'_>| {
        if asked.path.starts_with("/_matrix/federation/v1/hierarchy/") {
            let can_join = told?;
            let summary = json!({
                "room_id": room.room_id, "join_rule": "public", "num_joined_members": 1, "guest_can_join": can_join,
                "world_readable": false, "children_state": [],
            });
            let answer = json!({"room": summary, "children": [], "inaccessible_children": []});
            return Some(Reply::Json(200, answer));
        }
        if asked.path.contains("/make_join/") {
            seen.store(true, Ordering::Relaxed);
        }
        room.reply(asked)
    });
    is_asked
}

async fn join(guest: &Client, room: &PlayedRoom) -> Answer {
    let room_id = encode(&room.room_id);
    let path = format!("/_matrix/client/v3/join/{room_id}?server_name={NEAR}");
    guest.post(&path, json!({})).await
}

fn is_left(guest: &Client) -> impl Fn(&Value) -> bool + use<> {
    let user_id = guest.user_id.clone();
    move |event: &Value| {
        event["state_key"] == user_id.as_str() && event["content"]["membership"] == "leave"
    }
}

/// Waits until the guest is in no room.
async fn until_out(guest: &Client) {
    let deadline = Instant::now() + PATIENCE;
    while joined(guest).await != json!([]) {
        assert!(Instant::now() < deadline, "the guest is in a room still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn joined(guest: &Client) -> Value {
    let told = guest.get("/_matrix/client/v3/joined_rooms").await.ok();
    told["joined_rooms"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_in_for_as_long_as_they_may() {
    let peers = Peers::start(&[NEAR]).await;
    let (_server, guest) = start(&peers).await;
    let room = room("open", Some("can_join"));
    open(&peers, &room, Some(true));
    join(&guest, &room).await.ok();
    assert_eq!(joined(&guest).await, json!([room.room_id]));
    guest.say(&room.room_id, "hello").await;
    // Guest access is withdrawn by somebody of the other server.
    let state = guest.look(&room.room_id, "state").await.ok();
    let mut state = state.as_array().expect("a state").iter();
    let own = state.find(|event| event["state_key"] == guest.user_id.as_str());
    let own = own.expect("the join")["event_id"].as_str();
    let withdrawn = access(&room, "forbidden", (own.expect("an ID"), 7));
    let path = format!("/_matrix/federation/v1/send/{}", fresh("txn"));
    let body = json!({"pdus": [withdrawn.json]}).to_string();
    let told = ask_as(NEAR, &guest.nobody(), (Method::PUT, &path), Some(&body)).await;
    assert_eq!(told.ok()["pdus"], json!({&withdrawn.id: {}}));
    peers.await_event(NEAR, is_left(&guest)).await;
    until_out(&guest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_are_not_for_guests_are_not_entered() {
    let peers = Peers::start(&[NEAR]).await;
    let (server, guest) = start(&peers).await;
    let anna = server.register("anna").await;
    let rooms = [
        (room("none", None), Some(false)),
        (room("forbidden", Some("forbidden")), Some(false)),
        (room("silent", Some("can_join")), None),
    ];
    for (room, told) in rooms {
        let is_asked = open(&peers, &room, told);
        let refused = join(&guest, &room).await;
        refused.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
        assert!(!is_asked.load(Ordering::Relaxed), "{}", room.room_id);
        // Whoever has an account comes in.
        join(&anna, &room).await.ok();
    }
    assert_eq!(joined(&guest).await, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn they_leave_a_room_that_was_told_of_wrongly() {
    let peers = Peers::start(&[NEAR]).await;
    let (_server, guest) = start(&peers).await;
    for (name, guest_access) in [("lie", Some("forbidden")), ("omission", None)] {
        let room = room(name, guest_access);
        open(&peers, &room, Some(true));
        let refused = join(&guest, &room).await;
        refused.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
        let (is_left, room_id) = (is_left(&guest), room.room_id.clone());
        let is_left = move |event: &Value| is_left(event) && event["room_id"] == room_id.as_str();
        peers.await_event(NEAR, is_left).await;
        until_out(&guest).await;
    }
}
