//! Two servers of ours, with users who share rooms.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    client::props::{ids as event_ids, list, said, text, types},
    harness::{Client, TestServer, Town, administrator, client::encode},
};

/// What one server tells the other comes in less.
const PATIENCE: Duration = Duration::from_secs(120);

/// Two servers and a user on each.
pub(super) struct Neighbours {
    one: TestServer,
    two: TestServer,
    pub(super) anna: Client,
    pub(super) bert: Client,
    _town: Town,
}

impl Neighbours {
    pub(super) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same, with settings of the first.
    async fn with(environment: &[(&str, &str)]) -> Self {
        let town = Town::new(&["one.town", "two.town"]);
        let one = town.open("one.town", environment).await;
        let two = town.open("two.town", &[]).await;
        let anna = one.register("anna").await;
        let bert = two.register("bert").await;
        Self {
            one,
            two,
            anna,
            bert,
            _town: town,
        }
    }
}

/// Waits until a user's sync from the beginning shows an event.
pub(super) async fn sees(client: &Client, room_id: &str, event_id: &str) {
    let query = format!(
        "filter={}",
        encode(&json!({"room": {"timeline": {"limit": 100}}}).to_string())
    );
    let has = |answer: &Value| {
        let room = &answer["rooms"]["join"][room_id];
        room.is_object()
            && event_ids(&room["timeline"]["events"])
                .iter()
                .any(|id| id == event_id)
    };
    client.sync_anew_until(&query, has).await;
}

/// Waits until a user sees that another has left.
async fn until_gone(client: &Client, room_id: &str, user: &Client) {
    let path = format!("state/m.room.member/{}", encode(&user.user_id));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let member = client.look(room_id, &path).await.ok();
        if member["membership"] == "leave" {
            return;
        }
        assert!(Instant::now() < deadline, "{member}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn state_of(client: &Client, room_id: &str) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    let state = loop {
        let answer = client.look(room_id, "state").await;
        // Who came in a moment ago is told of all members a little later.
        if answer.status != 503 || Instant::now() >= deadline {
            break answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut state = event_ids(&state);
    state.sort();
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_found_by_its_alias_and_shared_in_every_version() {
    let all = Neighbours::new().await;
    let (anna, bert) = (&all.anna, &all.bert);
    for version in ["1", "3", "6", "9", "10", "11", "12"] {
        let name = format!("square{version}");
        let wish =
            json!({"preset": "public_chat", "room_version": version, "room_alias_name": name});
        let room_id = anna.create_room(wish).await;
        anna.say(&room_id, "before").await;
        let path = format!(
            "/_matrix/client/v3/join/{}",
            encode(&format!("#{name}:one.town"))
        );
        let joined = bert.post(&path, json!({})).await.ok();
        assert_eq!(joined["room_id"], room_id, "version {version}");
        let theirs = anna.say(&room_id, "welcome").await;
        sees(bert, &room_id, &theirs).await;
        let ours = bert.say(&room_id, "thank you").await;
        sees(anna, &room_id, &ours).await;
        let topic = bert
            .set_state(&room_id, "m.room.topic", "", json!({"topic": "t"}))
            .await;
        topic.refused(403, "M_FORBIDDEN");
        assert_eq!(
            state_of(anna, &room_id).await,
            state_of(bert, &room_id).await
        );
        bert.leave(&room_id).await;
        // A departure that came after the return would undo it.
        until_gone(anna, &room_id, bert).await;
        let gone = anna.say(&room_id, "gone").await;
        sees(anna, &room_id, &gone).await;
        // Back again.
        bert.post(&path, json!({})).await.ok();
        let again = anna.say(&room_id, "again").await;
        sees(bert, &room_id, &again).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_cross_and_are_accepted_or_rejected() {
    let mut all = Neighbours::new().await;
    let room_id = all
        .anna
        .create_room(json!({"preset": "private_chat", "name": "Den"}))
        .await;
    let invited = |answer: &Value| answer["rooms"]["invite"][&room_id].is_object();
    all.anna.invite(&room_id, &all.bert).await;
    let answer = all.bert.sync_anew_until("", invited).await;
    let shown = &answer["rooms"]["invite"][&room_id]["invite_state"]["events"];
    let shown = list(shown)
        .iter()
        .map(|event| text(&event["type"]))
        .collect::<Vec<_>>();
    for wanted in [
        "m.room.create",
        "m.room.name",
        "m.room.join_rules",
        "m.room.member",
    ] {
        assert!(shown.iter().any(|shown| shown == wanted), "{shown:?}");
    }
    // The invite outlives a restart, and rejecting it reaches the inviter.
    all.two.kill();
    all.two.start_again();
    all.bert = all.bert.at(all.two.base());
    all.bert.sync_anew_until("", invited).await;
    all.bert.leave(&room_id).await;
    until_gone(&all.anna, &room_id, &all.bert).await;
    all.anna.invite(&room_id, &all.bert).await;
    all.bert.sync_anew_until("", invited).await;
    all.bert.join(&room_id).await;
    let hello = all.bert.say(&room_id, "hello").await;
    sees(&all.anna, &room_id, &hello).await;
    assert_eq!(
        state_of(&all.anna, &room_id).await,
        state_of(&all.bert, &room_id).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_a_server_is_dead_comes_when_it_lives() {
    let mut all = Neighbours::new().await;
    let room_id = all
        .anna
        .create_room(json!({"preset": "public_chat", "room_alias_name": "quay"}))
        .await;
    let path = format!("/_matrix/client/v3/join/{}", encode("#quay:one.town"));
    all.bert.post(&path, json!({})).await.ok();
    let first = all.anna.say(&room_id, "first").await;
    sees(&all.bert, &room_id, &first).await;
    all.two.kill();
    let mut last = String::new();
    for line in 0..70 {
        last = all.anna.say(&room_id, &format!("line {line}")).await;
    }
    all.one.kill();
    all.one.start_again();
    all.two.start_again();
    (all.anna, all.bert) = (all.anna.at(all.one.base()), all.bert.at(all.two.base()));
    sees(&all.bert, &room_id, &last).await;
    let told = said(&Value::Array(all.bert.history(&room_id).await));
    let lines: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("line"))
        .collect();
    assert_eq!(lines.len(), 70, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_returns_and_speaks_is_sent_what_it_missed() {
    // Who fails is not tried again before the test is over.
    let mut all = Neighbours::with(&[
        ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MS", "3600000"),
        ("PLAYHOUSE_FEDERATION_RETRY_WAIT_MAX_MS", "3600000"),
    ])
    .await;
    let wish = json!({"preset": "public_chat", "room_alias_name": "pier"});
    let room_id = all.anna.create_room(wish).await;
    let path = format!("/_matrix/client/v3/join/{}", encode("#pier:one.town"));
    all.bert.post(&path, json!({})).await.ok();
    let first = all.anna.say(&room_id, "first").await;
    sees(&all.bert, &room_id, &first).await;
    all.two.kill();
    all.anna.say(&room_id, "line 0").await;
    let boss = administrator(&all.one.client(), "boss").await;
    let destination = "/_synapse/admin/v1/federation/destinations/two.town";
    let deadline = Instant::now() + PATIENCE;
    while boss.get(destination).await.ok()["failure_ts"].is_null() {
        assert!(Instant::now() < deadline, "it never fails");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut last = String::new();
    for line in 1..70 {
        last = all.anna.say(&room_id, &format!("line {line}")).await;
    }
    all.two.start_again();
    all.bert = all.bert.at(all.two.base());
    let back = all.bert.say(&room_id, "I am back").await;
    sees(&all.bert, &room_id, &last).await;
    sees(&all.anna, &room_id, &back).await;
    let told = said(&Value::Array(all.bert.history(&room_id).await));
    let lines = told.iter().filter(|line| line.starts_with("line"));
    assert_eq!(lines.count(), 70, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_devices_and_media_of_neighbours() {
    let all = Neighbours::new().await;
    let (anna, bert) = (&all.anna, &all.bert);
    let path = format!(
        "/_matrix/client/v3/profile/{}/displayname",
        encode(&anna.user_id)
    );
    anna.put(&path, json!({"displayname": "Anna of One"}))
        .await
        .ok();
    let path = format!("/_matrix/client/v3/profile/{}", encode(&anna.user_id));
    assert_eq!(bert.get(&path).await.ok()["displayname"], "Anna of One");
    let nobody = "/_matrix/client/v3/profile/%40nobody%3Aone.town";
    bert.get(nobody).await.refused(404, "M_NOT_FOUND");
    let keys = json!({"device_keys": {
        "user_id": anna.user_id, "device_id": anna.device_id, "algorithms": [],
        "keys": {format!("ed25519:{}", anna.device_id): "key"}, "signatures": {}
    }});
    anna.post("/_matrix/client/v3/keys/upload", keys).await.ok();
    let wish = json!({"device_keys": {&anna.user_id: []}});
    let found = bert.post("/_matrix/client/v3/keys/query", wish).await.ok();
    assert!(
        found["device_keys"][&anna.user_id][&anna.device_id].is_object(),
        "{found}"
    );
    let picture = vec![7_u8; 100_000];
    let headers = [("content-type", "application/octet-stream")];
    let up = anna
        .with_headers(
            reqwest::Method::POST,
            "/_matrix/media/v3/upload",
            &headers,
            picture.clone(),
        )
        .await
        .ok();
    let uri = text(&up["content_uri"]);
    let name = uri.strip_prefix("mxc://").expect("a media URI");
    for _ in 0..2 {
        let path = format!("/_matrix/client/v1/media/download/{name}");
        let down = bert.get(&path).await;
        assert_eq!((down.status, down.bytes == picture), (200, true));
    }
    let path = "/_matrix/client/v1/media/download/one.town/nothing";
    bert.get(path).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_reads_what_was_said_before() {
    let all = Neighbours::new().await;
    let room_id = all
        .anna
        .create_room(json!({"preset": "public_chat", "room_alias_name": "archive"}))
        .await;
    let mut told = Vec::new();
    for line in 0..250 {
        told.push(all.anna.say(&room_id, &format!("line {line}")).await);
    }
    let path = format!("/_matrix/client/v3/join/{}", encode("#archive:one.town"));
    all.bert.post(&path, json!({})).await.ok();
    let here = all.bert.say(&room_id, "here").await;
    // Back, in pages, to the very beginning.
    let mut back = Vec::new();
    let mut from = String::new();
    for _ in 0..100 {
        let page = all
            .bert
            .look(&room_id, &format!("messages?dir=b&limit=40{from}"))
            .await
            .ok();
        back.extend(list(&page["chunk"]).iter().cloned());
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", encode(end)),
            None => break,
        }
    }
    let back = Value::Array(back);
    assert_eq!(
        types(&back).last().map(String::as_str),
        Some("m.room.create")
    );
    let mut seen = event_ids(&back);
    seen.reverse();
    assert_eq!(seen.last(), Some(&here));
    let start = seen
        .iter()
        .position(|id| *id == told[0])
        .expect("the first line");
    assert_eq!(seen[start..start + told.len()], told);
    // Forwards from the beginning it is the same, and it stays so after a restart.
    let on = all.bert.history(&room_id).await;
    assert_eq!(event_ids(&Value::Array(on)), seen);
    // Around a line of the past.
    let around = all
        .bert
        .look(&room_id, &format!("context/{}?limit=4", encode(&told[100])))
        .await
        .ok();
    let before = said(&around["events_before"]);
    let after = said(&around["events_after"]);
    assert_eq!(
        (before, after),
        (
            vec!["line 99".to_owned(), "line 98".to_owned()],
            vec!["line 101".to_owned(), "line 102".to_owned()]
        )
    );
}

/// Says something at a time that no other event has, with some lines before it.
async fn said_at(client: &Client, room_id: &str, (lines, body): (usize, &str)) -> (String, u64) {
    for line in 0..lines {
        client.say(room_id, &format!("before {body}: {line}")).await;
    }
    let apart = Duration::from_millis(5);
    tokio::time::sleep(apart).await;
    let event_id = client.say(room_id, body).await;
    tokio::time::sleep(apart).await;
    let path = format!("event/{}", encode(&event_id));
    let event = client.look(room_id, &path).await.ok();
    let sent_ms = event["origin_server_ts"].as_u64().expect("a time");
    (event_id, sent_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_finds_by_its_time_what_was_said_before() {
    let all = Neighbours::new().await;
    let (anna, bert) = (&all.anna, &all.bert);
    let room_id = anna
        .create_room(json!({"preset": "public_chat", "room_alias_name": "annals"}))
        .await;
    let (early, early_ms) = said_at(anna, &room_id, (30, "early")).await;
    let (late, late_ms) = said_at(anna, &room_id, (130, "late")).await;
    said_at(anna, &room_id, (30, "last")).await;
    let state = anna.look(&room_id, "state").await.ok();
    let create = list(&state)
        .iter()
        .find(|event| event["type"] == "m.room.create")
        .expect("a create event");
    let path = format!("/_matrix/client/v3/join/{}", encode("#annals:one.town"));
    bert.post(&path, json!({})).await.ok();
    let at = |ts: u64, dir: &str| {
        let room = encode(&room_id);
        format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}")
    };
    // At first nothing is known here that is so old; then the nearest that is known is not what was asked for.
    let told = bert.get(&at(late_ms + 1, "b")).await.ok();
    let expected = json!({"event_id": late, "origin_server_ts": late_ms});
    assert_eq!(told, expected);
    let told = bert.get(&at(early_ms - 1, "f")).await.ok();
    let expected = json!({"event_id": early, "origin_server_ts": early_ms});
    assert_eq!(told, expected);
    // What has been found is found again, from the other side too, and there a client reads on in both directions.
    for (event_id, ts) in [(&late, late_ms), (&early, early_ms)] {
        for (ts, dir) in [(ts - 1, "f"), (ts, "f"), (ts, "b"), (ts + 1, "b")] {
            let told = bert.get(&at(ts, dir)).await.ok();
            assert_eq!(told["event_id"], *event_id, "{dir} from {ts}");
        }
    }
    let path = format!("context/{}?limit=4", encode(&early));
    let around = bert.look(&room_id, &path).await.ok();
    assert_eq!(
        said(&around["events_before"]),
        ["before early: 29", "before early: 28"]
    );
    assert_eq!(
        said(&around["events_after"]),
        ["before late: 0", "before late: 1"]
    );
    let end = encode(&text(&around["end"]));
    let path = format!("messages?dir=f&limit=2&from={end}");
    let on = bert.look(&room_id, &path).await.ok();
    assert_eq!(said(&on["chunk"]), ["before late: 2", "before late: 3"]);
    // Back to the very beginning, before which there is nothing.
    let told = bert.get(&at(0, "f")).await.ok();
    assert_eq!(told["event_id"], create["event_id"]);
    let before = create["origin_server_ts"].as_u64().expect("a time") - 1;
    let nothing = bert.get(&at(before, "b")).await;
    nothing.refused(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_looked_up_here_while_the_others_are_dead() {
    let mut all = Neighbours::new().await;
    let room_id = all
        .anna
        .create_room(json!({"preset": "public_chat", "room_alias_name": "ruins"}))
        .await;
    let (_, ts) = said_at(&all.anna, &room_id, (0, "once")).await;
    let path = format!("/_matrix/client/v3/join/{}", encode("#ruins:one.town"));
    all.bert.post(&path, json!({})).await.ok();
    all.one.kill();
    let at = |dir: &str| {
        let room = encode(&room_id);
        format!("/_matrix/client/v1/rooms/{room}/timestamp_to_event?ts={ts}&dir={dir}")
    };
    // The nearest that is known: the join.
    let told = all.bert.get(&at("f")).await.ok();
    let path = format!("event/{}", encode(&text(&told["event_id"])));
    let event = all.bert.look(&room_id, &path).await.ok();
    assert_eq!(event["type"], "m.room.member");
    assert_eq!(event["sender"], all.bert.user_id);
    let nothing = all.bert.get(&at("b")).await;
    nothing.refused(404, "M_NOT_FOUND");
}
