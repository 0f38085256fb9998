//! Redactions that come before what they redact, and redactions by those who may not (room version 3, "Handling redactions").

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{EVIL, GOOD, Scene, guest::Guest};
use crate::{
    client::{
        props::{ids, list, text},
        stage::fresh,
    },
    harness::{
        Client,
        client::{Answer, encode},
        made::{Made, PlayedRoom, now_ms, sealed},
        script::{Asked, Reply},
    },
};

/// What a test waits for comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A redaction by somebody who has not heard what is redacted.
fn redaction(by: &Guest, target: &str) -> Made {
    by.event(json!({"type": "m.room.redaction", "content": {"redacts": target, "reason": "gone"}}))
}

async fn look(client: &Client, room_id: &str, made: &Made) -> Answer {
    let path = format!("event/{}", encode(&made.id));
    client.look(room_id, &path).await
}

/// An event is shown without what it said, and the redaction is shown, too.
async fn is_redacted(client: &Client, room_id: &str, target: &Made, by: &str) {
    let shown = look(client, room_id, target).await.ok();
    assert_eq!(shown["content"], json!({}), "{shown}");
    let because = &shown["unsigned"]["redacted_because"]["event_id"];
    assert_eq!(*because, by, "{shown}");
    let seen = ids(&Value::Array(client.history(room_id).await));
    assert!(seen.contains(&target.id) && seen.iter().any(|id| id == by));
}

impl Scene {
    async fn takes(&self, name: &str, events: &[&Made]) {
        let told = self.send(name, events).await;
        for made in events {
            Self::assert_taken(&told, made);
        }
    }

    /// An event is nowhere to be seen: neither by its ID nor in the room's history nor in a sync that brings what came after it.
    async fn is_hidden(&self, made: &Made, since: &str) {
        let (anna, room_id) = (&self.anna, &self.room_id);
        look(anna, room_id, made).await.refused(404, "M_NOT_FOUND");
        assert!(!self.seen().await.contains(&made.id));
        let after = self.gus.text(&fresh("after it"));
        self.takes(GOOD, &[&after]).await;
        let mut told = Vec::new();
        let mut since = since.to_owned();
        let begun = Instant::now();
        while !told.contains(&after.id) {
            assert!(begun.elapsed() < PATIENCE, "what came after is not told");
            let answer = anna.sync(Some(&since), "timeout=1000").await;
            let timeline = &answer["rooms"]["join"][room_id.as_str()]["timeline"];
            if timeline["events"].is_array() {
                told.extend(ids(&timeline["events"]));
            }
            since = text(&answer["next_batch"]);
        }
        assert!(!told.contains(&made.id), "{told:?}");
    }

    async fn since(&self) -> String {
        text(&self.anna.sync(None, "").await["next_batch"])
    }

    /// SIGKILL, and another start on the same data.
    fn is_killed(&mut self) {
        self.server.kill();
        self.server.start_again();
        self.anna = self.anna.at(self.server.base());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_waits_for_its_target() {
    let mut scene = Scene::open().await;
    // Both in one transaction, whichever stands first.
    let (one, other) = (scene.eve.text("one"), scene.eve.text("other"));
    let of_one = redaction(&scene.eve, &one.id);
    let of_other = redaction(&scene.eve, &other.id);
    scene.takes(EVIL, &[&of_one, &one, &other, &of_other]).await;
    is_redacted(&scene.anna, &scene.room_id, &one, &of_one.id).await;
    is_redacted(&scene.anna, &scene.room_id, &other, &of_other.id).await;
    // In two.
    let since = scene.since().await;
    let late = scene.eve.text("late");
    let by = redaction(&scene.eve, &late.id);
    scene.takes(EVIL, &[&by]).await;
    scene.is_hidden(&by, &since).await;
    scene.takes(EVIL, &[&late]).await;
    is_redacted(&scene.anna, &scene.room_id, &late, &by.id).await;
    // The server dies in between.
    let later = scene.eve.text("later");
    let by = redaction(&scene.eve, &later.id);
    scene.takes(EVIL, &[&by]).await;
    scene.is_killed();
    let since = scene.since().await;
    scene.is_hidden(&by, &since).await;
    scene.takes(EVIL, &[&later]).await;
    is_redacted(&scene.anna, &scene.room_id, &later, &by.id).await;
    // And after it.
    scene.is_killed();
    is_redacted(&scene.anna, &scene.room_id, &later, &by.id).await;
    scene.end("early redactions").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_remembers_what_is_waited_for() {
    let mut scene = Scene::open().await;
    let secret = scene.eve.text("secret");
    let by = redaction(&scene.eve, &secret.id);
    scene.takes(EVIL, &[&by]).await;
    // More than a room writes before it has a snapshot.
    let mut eve = scene.eve.clone();
    for batch in 0..12 {
        let lines = (0..50).map(|line| {
            let made = eve.text(&format!("line {batch} {line}"));
            eve.follow(&made);
            made
        });
        let lines: Vec<_> = lines.collect();
        scene.takes(EVIL, &lines.iter().collect::<Vec<_>>()).await;
    }
    scene.is_killed();
    scene.takes(EVIL, &[&secret]).await;
    is_redacted(&scene.anna, &scene.room_id, &secret, &by.id).await;
    scene.end("early redactions and snapshots").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_redact_does_not_whatever_comes_first() {
    let scene = Scene::open().await;
    let (first, second) = (scene.eve.text("first"), scene.eve.text("second"));
    scene.takes(EVIL, &[&first]).await;
    for target in [&first, &second] {
        let since = scene.since().await;
        let by = redaction(&scene.gus, &target.id);
        scene.takes(GOOD, &[&by]).await;
        scene.is_hidden(&by, &since).await;
        // The second one comes only now.
        scene.send(EVIL, &[target]).await;
        let shown = look(&scene.anna, &scene.room_id, target).await.ok();
        assert_eq!(shown["content"]["msgtype"], "m.text", "{shown}");
        assert!(shown["unsigned"]["redacted_because"].is_null(), "{shown}");
        scene.is_hidden(&by, &since).await;
    }
    // Our user has the power, and other servers hear of it though this one does not know what it is about.
    let third = scene.eve.text("third");
    let by = scene.anna.redact(&scene.room_id, &third.id).await;
    let is_it = |event: &Value| event["content"]["redacts"] == third.id.as_str();
    scene.peers.await_event(EVIL, is_it).await;
    scene.takes(EVIL, &[&third]).await;
    is_redacted(&scene.anna, &scene.room_id, &third, &by).await;
    scene.end("redactions without power").await;
}

/// A room with a past, of which two events are told at a time.
#[derive(Clone)]
struct Past {
    room: PlayedRoom,
    lines: Vec<Made>,
}

impl Past {
    fn new() -> Self {
        let users = ["@eve:evil.test", "@gus:good.test"];
        let mut past = Self {
            room: PlayedRoom::new("past", &users.map(ToOwned::to_owned)),
            lines: Vec::new(),
        };
        for body in ["secret", "between", "also secret", "more"] {
            past.add(json!({"content": {"body": body}}));
        }
        past.add(past.redaction_of(0));
        past.add(json!({"content": {"body": "last"}}));
        past
    }

    fn redaction_of(&self, line: usize) -> Value {
        let redacts = &self.lines[line].id;
        json!({"type": "m.room.redaction", "content": {"redacts": redacts}})
    }

    /// What eve does after the last that was said.
    fn made(&self, wish: &Value, prev: &str) -> Made {
        let id = |index: usize| &self.room.state[index].id;
        let mut event = json!({
            "type": "m.room.message", "sender": "@eve:evil.test", "room_id": self.room.room_id, "prev_events": [prev],
            "auth_events": [id(0), id(1), id(2)], "depth": 10 + self.lines.len(), "origin_server_ts": now_ms(),
        });
        for (key, value) in wish.as_object().expect("an object") {
            event[key] = value.clone();
        }
        sealed(EVIL, event)
    }

    fn add(&mut self, wish: Value) {
        let newest = self.room.state.iter().chain(&self.lines).next_back();
        let prev = newest.expect("a room has a beginning").id.clone();
        self.lines.push(self.made(&wish, &prev));
    }

    fn reply(&self, asked: &Asked<'_>) -> Option<Reply> {
        let answer = if asked.path.contains("/make_join/") {
            let Some(Reply::Json(_, mut template)) = self.room.reply(asked) else {
                return None;
            };
            template["event"]["prev_events"] = json!([self.lines.last()?.id]);
            template["event"]["depth"] = json!(20);
            template
        } else if asked.path.contains("/backfill/") {
            json!({"origin": EVIL, "origin_server_ts": 1, "pdus": self.told(asked.path)})
        } else if asked.path.contains("/state_ids/") {
            let state: Vec<_> = self.room.state.iter().map(|made| &made.id).collect();
            json!({"pdu_ids": state, "auth_chain_ids": state[..4]})
        } else {
            return self.room.reply(asked);
        };
        Some(Reply::Json(200, answer))
    }

    /// Two lines up to the one that is asked for, or the whole beginning.
    fn told(&self, path: &str) -> Vec<Value> {
        let is_wanted = |made: &Made| path.contains(&made.id[1..]);
        let events = match self.lines.iter().position(is_wanted) {
            Some(at) => &self.lines[at.saturating_sub(1)..=at],
            None => &self.room.state[..],
        };
        events.iter().map(|made| made.json.clone()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_of_the_past_is_redacted_already() {
    let scene = Scene::open().await;
    let past = Past::new();
    let played = past.clone();
    let is_evil = |asked: &Asked<'_>| asked.name == EVIL;
    scene
        .peers
        .follow(move |asked| is_evil(asked).then(|| played.reply(asked)).flatten());
    let room_id = &past.room.room_id;
    let path = format!("/_matrix/client/v3/join/{}?via={EVIL}", encode(room_id));
    scene.anna.post(&path, json!({})).await.ok();
    let path = format!(
        "state/m.room.member/{}?format=event",
        encode(&scene.anna.user_id)
    );
    let joined = scene.anna.look(room_id, &path).await.ok();
    // News, about what nobody here has heard.
    let by = past.made(&past.redaction_of(2), &text(&joined["event_id"]));
    scene.takes(EVIL, &[&by]).await;
    look(&scene.anna, room_id, &by)
        .await
        .refused(404, "M_NOT_FOUND");
    // A page asks for more only so often.
    let begun = Instant::now();
    loop {
        let page = scene.anna.look(room_id, "messages?dir=b&limit=100").await;
        let page = page.ok();
        let mut events = list(&page["chunk"]).iter();
        if events.any(|event| event["event_id"] == past.lines[0].id.as_str()) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the past is not told: {page}");
    }
    is_redacted(&scene.anna, room_id, &past.lines[2], &by.id).await;
    let old = &past.lines[4].id;
    is_redacted(&scene.anna, room_id, &past.lines[0], old).await;
    for line in [1, 3, 5] {
        let shown = look(&scene.anna, room_id, &past.lines[line]).await.ok();
        assert_eq!(shown["content"], past.lines[line].json["content"]);
    }
    scene.end("redactions and the past").await;
}
