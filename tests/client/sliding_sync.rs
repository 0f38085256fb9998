//! Sliding sync (MSC4186): lists, windows, tokens. What it tells of rooms beyond that is in `sliding_rooms`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::{
    props::{ids, text},
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

/// A connection of sliding sync.
pub(super) struct Slider {
    pub(super) client: Client,
    pub(super) pos: Option<String>,
    /// The body of every request.
    pub(super) body: Value,
}

impl Slider {
    pub(super) fn new(client: &Client, body: Value) -> Self {
        Self {
            client: client.clone(),
            pos: None,
            body,
        }
    }

    /// A connection with one list of these many rooms.
    pub(super) fn with_list(client: &Client, last: u64, timeline_limit: u64) -> Self {
        let list =
            json!({"ranges": [[0, last]], "timeline_limit": timeline_limit, "required_state": []});
        Self::new(client, json!({"lists": {"all": list}}))
    }

    pub(super) fn path(&self, timeout_ms: u64) -> String {
        let pos = self.pos.as_ref();
        let pos = pos.map(|pos| format!("&pos={}", encode(pos)));
        let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
        format!("{path}?timeout={timeout_ms}{}", pos.unwrap_or_default())
    }

    /// Asks, but forgets where the answer ended: it was lost on the way.
    pub(super) async fn ask(&self, timeout_ms: u64) -> Value {
        let path = self.path(timeout_ms);
        self.client.post(&path, self.body.clone()).await.ok()
    }

    /// Asks, and goes on from the answer.
    pub(super) async fn next(&mut self, timeout_ms: u64) -> Value {
        let answer = self.ask(timeout_ms).await;
        self.pos = Some(text(&answer["pos"]));
        answer
    }

    /// Asks until an answer says what is wanted.
    pub(super) async fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let answer = self.next(1_000).await;
            if is_wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "never came: {answer}");
        }
    }

    /// Asks until a room is told, and gives what is told of it.
    pub(super) async fn room(&mut self, room_id: &str) -> Value {
        let answer = self
            .until(|answer| answer["rooms"].get(room_id).is_some())
            .await;
        answer["rooms"][room_id].clone()
    }
}

pub(super) fn rooms(answer: &Value) -> &Map<String, Value> {
    answer["rooms"].as_object().expect("rooms")
}

/// What is told of each room: whether it is new, and its events.
fn timelines(answer: &Value) -> Vec<(&String, bool, Vec<String>)> {
    let rooms = rooms(answer).iter();
    rooms
        .map(|(room_id, room)| (room_id, room["initial"] == true, ids(&room["timeline"])))
        .collect()
}

fn names(answer: &Value) -> Vec<&String> {
    rooms(answer).keys().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_the_newest_rooms_and_grows() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let mut made = Vec::new();
        for name in ["first", "second", "third"] {
            let room_id = anna.create_room(json!({"name": name})).await;
            anna.say(&room_id, name).await;
            made.push(room_id);
        }
        anna.say(&made[0], "again").await;
        anna.now_in_all(&made).await;
        let mut slider = Slider::with_list(&anna, 1, 1);
        let answer = slider.next(0).await;
        assert_eq!(answer["lists"]["all"]["count"], 3);
        let mut wanted = [&made[0], &made[2]];
        wanted.sort();
        assert_eq!(names(&answer), wanted);
        let room = &answer["rooms"][&made[0]];
        assert_eq!(
            (&room["initial"], &room["name"]),
            (&json!(true), &json!("first"))
        );
        assert_eq!(
            (&room["limited"], &room["num_live"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(room["timeline"][0]["content"]["body"], "again");
        assert_eq!(
            (&room["joined_count"], &room["is_dm"]),
            (&json!(1), &json!(false))
        );
        let third = answer["rooms"][&made[2]]["bump_stamp"].as_u64();
        assert!(room["bump_stamp"].as_u64() >= third);

        slider.body["lists"]["all"]["ranges"] = json!([[0, 10]]);
        let answer = slider.next(0).await;
        assert_eq!(names(&answer), [&made[1]]);
        assert_eq!(answer["rooms"][&made[1]]["initial"], true);
        assert!(rooms(&slider.next(0).await).is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_wakes_a_long_poll_and_lifts_its_room() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let mut made = Vec::new();
        for _ in 0..3 {
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            anna.say(&room_id, "before").await;
            made.push(room_id);
        }
        bert.now_in_all(&made).await;
        let mut slider = Slider::with_list(&bert, 0, 10);
        slider
            .until(|answer| rooms(answer).contains_key(&made[2]))
            .await;
        let (room, event_id) = tokio::join!(slider.room(&made[0]), anna.say(&made[0], "up"));
        // The room was outside of the list before, so it is new to the client.
        assert_eq!(
            (&room["initial"], &room["num_live"]),
            (&json!(true), &json!(1))
        );
        assert_eq!(ids(&room["timeline"]).last(), Some(&event_id));
        assert_eq!(room["notification_count"], 2);
        let event_id = anna.say(&made[0], "more").await;
        let room = slider.room(&made[0]).await;
        assert_eq!(ids(&room["timeline"]), [event_id]);
        assert_eq!(
            (&room["initial"], &room["limited"]),
            (&Value::Null, &json!(false))
        );
        assert_eq!(room["num_live"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_falls_out_of_the_list_is_caught_up_with() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let wish = json!({"preset": "public_chat"});
        let [one, other] = [
            anna.create_room(wish.clone()).await,
            anna.create_room(wish).await,
        ];
        bert.join(&one).await;
        bert.join(&other).await;
        anna.say(&one, "known").await;
        bert.now_in_all(&[one.clone(), other.clone()]).await;
        let mut slider = Slider::with_list(&bert, 0, 20);
        slider.room(&one).await;
        anna.say(&other, "on top").await;
        slider.room(&other).await;
        let missed = anna
            .set_state(&one, "org.example.thing", "", json!({"a": 1}))
            .await
            .ok();
        let topic = anna
            .set_state(&one, "m.room.topic", "", json!({"topic": "x"}))
            .await
            .ok();
        bert.now_in(&one).await;
        // Seen by the connection, but not told.
        let mark = anna.say(&other, "mark").await;
        let room = slider.room(&other).await;
        assert_eq!(ids(&room["timeline"]), [mark]);
        let back = anna.say(&one, "back").await;
        let room = slider.room(&one).await;
        assert_eq!(room["initial"], Value::Null);
        let wanted = [text(&missed["event_id"]), text(&topic["event_id"]), back];
        assert_eq!(ids(&room["timeline"]), wanted);
        assert_eq!(room["num_live"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_given_again_and_an_unknown_pos_refused() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let mut slider = Slider::with_list(&bert, 9, 10);
        slider.room(&room_id).await;
        let second = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&second).await;
        let event_id = anna.say(&room_id, "once").await;
        let is_told = |answer: &Value| {
            let rooms = rooms(answer);
            rooms.contains_key(&second) && rooms.contains_key(&room_id)
        };
        let deadline = Instant::now() + Duration::from_secs(120);
        let first = loop {
            let answer = slider.ask(1_000).await;
            if is_told(&answer) {
                break answer;
            }
            assert!(Instant::now() < deadline, "{answer}");
        };
        let old = slider.pos.clone();
        for _ in 0..6 {
            let again = slider.ask(0).await;
            assert_eq!(timelines(&again), timelines(&first));
        }
        assert_eq!(ids(&first["rooms"][&room_id]["timeline"]), [event_id]);
        let answer = slider.next(0).await;
        assert_eq!(timelines(&answer), timelines(&first));
        // Something new is kept, by which the one that was received becomes the base.
        anna.say(
            &anna.create_room(json!({"invite": [bert.user_id]})).await,
            "x",
        )
        .await;
        slider.until(|answer| !rooms(answer).is_empty()).await;
        let mut slider_at = |pos: Option<String>| {
            slider.pos = pos;
            slider.path(0)
        };
        let nonsense = slider_at(Some("nonsense".to_owned()));
        let expired = slider_at(old);
        for path in [nonsense, expired] {
            bert.post(&path, json!({}))
                .await
                .refused(400, "M_UNKNOWN_POS");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_hold_across_restarts() {
    on_own_servers(&[], async |server| {
        let mut anna = server.register("anna").await;
        let bert = server.register("bert").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let mut slider = Slider::with_list(&bert, 9, 10);
        slider.room(&room_id).await;
        let mut sent = Vec::new();
        let mut seen = Vec::new();
        for round in 0..3 {
            sent.push(anna.say(&room_id, &format!("{round} a")).await);
            seen.extend(ids(&slider.room(&room_id).await["timeline"]));
            sent.push(anna.say(&room_id, &format!("{round} b")).await);
            if round == 1 {
                server.kill();
                server.start_again();
            } else {
                server.restart();
            }
            anna = anna.at(server.base());
            slider.client = slider.client.at(server.base());
            let room = slider.room(&room_id).await;
            assert_eq!(room["initial"], Value::Null);
            seen.extend(ids(&room["timeline"]));
        }
        assert_eq!(seen, sent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_and_went_before_a_restart_is_told_nothing_twice() {
    on_own_servers(&[], async |server| {
        let (anna, bert) = (server.register("anna").await, server.register("bert").await);
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        anna.say(&room_id, "hello").await;
        bert.now_in(&room_id).await;
        let mut slider = Slider::with_list(&bert, 9, 20);
        let seen = ids(&slider.room(&room_id).await["timeline"]);
        // More often than the server remembers once it has started again.
        for _ in 0..2 {
            bert.leave(&room_id).await;
            bert.join(&room_id).await;
        }
        bert.leave(&room_id).await;
        server.restart();
        slider.client = slider.client.at(server.base());
        let room = slider.room(&room_id).await;
        let told = ids(&room["timeline"]);
        let repeats = told.iter().any(|id| seen.contains(id));
        assert!(!repeats || room["initial"] == true, "{room}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_before_a_restart_is_counted_after_it() {
    on_own_servers(&[], async |server| {
        let (anna, ben) = (server.register("anna").await, server.register("ben").await);
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        ben.join(&room_id).await;
        let said = anna.say(&room_id, "hello").await;
        ben.now_in(&room_id).await;
        let mut list = Slider::with_list(&ben, 9, 1);
        assert_eq!(list.room(&room_id).await["notification_count"], 1);
        let action = format!("receipt/m.read/{}", encode(&said));
        ben.act(&room_id, &action, json!({})).await.ok();
        server.restart();
        list.client = list.client.at(server.base());
        assert_eq!(list.room(&room_id).await["notification_count"], 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let plain = anna.create_room(json!({"name": "Plain talk"})).await;
        let secret = anna
            .create_room(json!({"initial_state": [{"type": "m.room.encryption", "state_key": "",
                "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]}))
            .await;
        let space = anna
            .create_room(json!({"creation_content": {"type": "m.space"}}))
            .await;
        anna.set_state(&space, "m.space.child", &plain, json!({"via": ["playhouse.test"]}))
            .await
            .ok();
        let invite = bert.create_room(json!({"invite": [anna.user_id]})).await;
        let base = format!("/_matrix/client/v3/user/{}", encode(&anna.user_id));
        anna.put(
            &format!("{base}/account_data/m.direct"),
            json!({bert.user_id.clone(): [secret]}),
        )
        .await
        .ok();
        anna.put(
            &format!("{base}/rooms/{}/tags/m.favourite", encode(&plain)),
            json!({}),
        )
        .await
        .ok();
        let cases = [
            (json!({"is_dm": true}), vec![&secret]),
            (json!({"is_encrypted": true}), vec![&secret]),
            (json!({"is_invite": true}), vec![&invite]),
            (json!({"room_types": ["m.space"]}), vec![&space]),
            (
                json!({"not_room_types": ["m.space"], "is_invite": false}),
                vec![&plain, &secret],
            ),
            (
                json!({"room_types": [null, "m.space"], "not_room_types": [null]}),
                vec![&space],
            ),
            (json!({"room_name_like": "PLAIN"}), vec![&plain]),
            (json!({"tags": ["m.favourite"]}), vec![&plain]),
            (
                json!({"not_tags": ["m.favourite"], "is_invite": false}),
                vec![&secret, &space],
            ),
            (json!({"spaces": [space]}), vec![&plain]),
        ];
        // What was set has been told to the user once a sync shows it, and the invite.
        let made = [plain.clone(), secret.clone(), space.clone()];
        anna.now_in_all(&made).await;
        anna.sync_anew_until("", |answer| {
            answer["rooms"]["invite"].get(&invite).is_some()
        })
        .await;
        let mut lists = Map::new();
        for (number, (filters, _)) in cases.iter().enumerate() {
            let list = json!({"ranges": [[0, 9]], "timeline_limit": 0, "required_state": [], "filters": filters});
            lists.insert(number.to_string(), list);
        }
        for (number, (filters, mut wanted)) in cases.into_iter().enumerate() {
            let list = lists[&number.to_string()].clone();
            let body = json!({"conn_id": number.to_string(), "lists": {"all": list}});
            let answer = Slider::new(&anna, body).next(0).await;
            wanted.sort();
            assert_eq!(names(&answer), wanted, "{filters}");
            assert_eq!(answer["lists"]["all"]["count"], wanted.len(), "{filters}");
        }
    })
    .await;
}
