//! Rooms as administrators see them who are not in them.

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{ids, list, said, text, types},
        stage::{fresh, on_each_engine},
    },
    harness::{Client, client::encode},
};

fn at(room_id: &str, rest: &str) -> String {
    format!("/_synapse/admin/v1/rooms/{}{rest}", encode(room_id))
}

/// A room with a name of its own into which nobody comes without an invite, and what was said there.
async fn secret(anna: &Client, name: &str) -> (String, Vec<String>) {
    let wish = json!({
        "preset": "private_chat", "name": name, "topic": "dark",
        "initial_state": [{"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}]
    });
    let room_id = anna.create_room(wish).await;
    let mut said = Vec::new();
    for body in ["one", "two", "three"] {
        said.push(anna.say(&room_id, body).await);
    }
    (room_id, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_room_is_hidden_from_administrators() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let (room_id, events) = secret(&anna, "Secret").await;
        let members = boss.get(&at(&room_id, "/members")).await.ok();
        assert_eq!(members, json!({"members": [anna.user_id], "total": 1}));
        let state = boss.get(&at(&room_id, "/state")).await.ok();
        assert!(types(&state["state"]).contains(&"m.room.create".to_owned()));
        let state = boss
            .get(&at(&room_id, "/state?type=m.room.name"))
            .await
            .ok();
        assert_eq!(types(&state["state"]), ["m.room.name"]);
        assert_eq!(state["state"][0]["content"]["name"], "Secret");
        let page = boss
            .get(&at(&room_id, "/messages?dir=b&limit=2"))
            .await
            .ok();
        assert_eq!(said(&page["chunk"]), ["three", "two"]);
        let more = format!("/messages?dir=b&limit=1&from={}", text(&page["end"]));
        let more = boss.get(&at(&room_id, &more)).await.ok();
        assert_eq!(said(&more["chunk"]), ["one"]);
        let filter = encode(r#"{"types":["m.room.topic"]}"#);
        let topic = at(&room_id, &format!("/messages?filter={filter}"));
        let page = boss.get(&topic).await.ok();
        assert_eq!(types(&page["chunk"]), ["m.room.topic"]);
        let context = format!("/context/{}?limit=2", encode(&events[1]));
        let context = boss.get(&at(&room_id, &context)).await.ok();
        assert_eq!(context["event"]["event_id"], json!(events[1]));
        assert_eq!(ids(&context["events_before"]), [events[0].as_str()]);
        assert_eq!(ids(&context["events_after"]), [events[2].as_str()]);
        let found = boss.get(&at(&room_id, "/timestamp_to_event?ts=0")).await;
        assert!(found.ok()["origin_server_ts"].is_u64());
        let fetch = format!("/_synapse/admin/v1/fetch_event/{}", encode(&events[0]));
        let event = boss.get(&fetch).await.ok()["event"].clone();
        assert_eq!(event["event_id"], json!(events[0]));
        assert_eq!(event["content"]["body"], "one");
        assert!(event["auth_events"].is_array() && event["signatures"].is_object());
        let unknown = fetch.replace(&encode(&events[0]), "%24unknown");
        boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
        for rest in [
            "/members",
            "/state",
            "/messages",
            "/timestamp_to_event?ts=0",
            "/hierarchy",
            "",
        ] {
            anna.get(&at(&room_id, rest))
                .await
                .refused(403, "M_FORBIDDEN");
            let unknown = at("!unknown:playhouse.test", rest);
            boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
        }
        anna.get(&fetch).await.refused(403, "M_FORBIDDEN");
        let page = boss.get(&at(&room_id, "/messages?dir=x")).await;
        page.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_shows_all_that_is_known_of_it() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let (child, _) = secret(&anna, "Child").await;
        let wish = json!({"preset": "private_chat", "creation_content": {"type": "m.space"}});
        let space = anna.create_room(wish).await;
        for (room_id, via) in [
            (child.as_str(), "playhouse.test"),
            ("!far:else.where", "else.where"),
        ] {
            let content = json!({"via": [via]});
            let answer = anna.set_state(&space, "m.space.child", room_id, content);
            answer.await.ok();
        }
        let tree = boss.get(&at(&space, "/hierarchy")).await.ok();
        let rooms: Vec<_> = list(&tree["rooms"])
            .iter()
            .map(|room| text(&room["room_id"]))
            .collect();
        assert_eq!(rooms, [space.clone(), child.clone()]);
        assert_eq!(tree["rooms"][1]["name"], "Child");
        let page = boss.get(&at(&space, "/hierarchy?limit=1")).await.ok();
        assert_eq!(list(&page["rooms"]).len(), 1);
        let next = encode(&text(&page["next_batch"]));
        let next = at(&space, &format!("/hierarchy?limit=1&from={next}"));
        let page = boss.get(&next).await.ok();
        assert_eq!(page["rooms"][0]["room_id"], json!(child));
    })
    .await;
}

async fn listed(boss: &Client, query: &str) -> Value {
    let path = format!("/_synapse/admin/v1/rooms?{query}");
    boss.get(&path).await.ok()
}

fn names(found: &Value) -> Vec<String> {
    list(&found["rooms"])
        .iter()
        .map(|room| text(&room["name"]))
        .collect()
}

/// Two rooms of which the second one has more of everything, in all orders and through all filters.
async fn sorted(boss: &Client, word: &str, [small, large]: [&String; 2]) {
    for (query, wanted) in [
        ("dir=b", vec![large, small]),
        ("order_by=joined_members", vec![large, small]),
        ("order_by=size&dir=b", vec![small, large]),
        ("order_by=joined_local_members", vec![large, small]),
        ("order_by=state_events&limit=5", vec![large, small]),
        ("order_by=public", vec![small, large]),
        ("public_rooms=true", vec![large]),
        ("public_rooms=false", vec![small]),
        ("empty_rooms=false&from=1", vec![large]),
        ("empty_rooms=true", vec![]),
    ] {
        let found = listed(boss, &format!("search_term={word}&{query}")).await;
        let wanted: Vec<_> = wanted.into_iter().cloned().collect();
        assert_eq!(names(&found), wanted, "{query}");
    }
    let page = listed(boss, &format!("search_term={word}&limit=1")).await;
    assert_eq!(
        (&page["next_batch"], &page["prev_batch"]),
        (&json!(1), &Value::Null)
    );
    let page = listed(boss, &format!("search_term={word}&limit=1&from=1")).await;
    assert_eq!(
        (&page["next_batch"], &page["prev_batch"]),
        (&Value::Null, &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_found_and_sorted() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let word = fresh("hall");
        let [small, large] = ["a", "b"].map(|letter| format!("{word} {letter}"));
        let (room_id, _) = secret(&anna, &small).await;
        let wish = json!({
            "preset": "public_chat", "name": large, "visibility": "public", "room_version": "10",
            "room_alias_name": format!("alias{word}"), "creation_content": {"m.federate": false}
        });
        let open = anna.create_room(wish).await;
        bert.join(&open).await;
        let found = listed(&boss, &format!("search_term={}", word.to_uppercase())).await;
        assert_eq!(names(&found), [small.clone(), large.clone()]);
        assert_eq!(
            (&found["total_rooms"], &found["offset"]),
            (&json!(2), &json!(0))
        );
        let room = &found["rooms"][1];
        for (field, value) in [
            ("room_id", json!(open)),
            (
                "canonical_alias",
                json!(format!("#alias{word}:playhouse.test")),
            ),
            ("joined_members", json!(2)),
            ("joined_local_members", json!(2)),
            ("version", json!("10")),
            ("creator", json!(anna.user_id)),
            ("encryption", Value::Null),
            ("federatable", json!(false)),
            ("public", json!(true)),
            ("join_rules", json!("public")),
            ("guest_access", json!("forbidden")),
            ("history_visibility", json!("shared")),
            ("room_type", Value::Null),
        ] {
            assert_eq!(room[field], value, "{field}");
        }
        assert_eq!(found["rooms"][0]["history_visibility"], "joined");
        sorted(&boss, &word, [&small, &large]).await;
        let by_id = listed(&boss, &format!("search_term={}", encode(&room_id))).await;
        assert_eq!(names(&by_id), [small]);
        for wrong in [
            "order_by=weather",
            "search_term=",
            "dir=x",
            "from=-1",
            "public_rooms=7",
        ] {
            let path = format!("/_synapse/admin/v1/rooms?{wrong}");
            boss.get(&path).await.refused(400, "M_INVALID_PARAM");
        }
        anna.get("/_synapse/admin/v1/rooms")
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_told_as_it_is_now() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let tablet = anna.login_again().await;
        let (room_id, _) = secret(&anna, "Before").await;
        let path = at(&room_id, "");
        let told = boss.get(&path).await.ok();
        for (field, value) in [
            ("name", json!("Before")),
            ("topic", json!("dark")),
            ("avatar", Value::Null),
            ("joined_members", json!(1)),
            ("joined_local_devices", json!(2)),
            ("forgotten", json!(false)),
            ("tombstoned", json!(false)),
            ("replacement_room", Value::Null),
        ] {
            assert_eq!(told[field], value, "{field}");
        }
        let events = told["state_events"].as_u64().expect("a number");
        let name = anna.set_state(&room_id, "m.room.name", "", json!({"name": "After"}));
        let name = text(&name.await.ok()["event_id"]);
        tablet
            .set_state(&room_id, "org.example.new", "x", json!({}))
            .await
            .ok();
        let told = boss.get(&path).await.ok();
        assert_eq!(told["name"], "After");
        assert_eq!(told["state_events"], json!(events + 1));
        anna.redact(&room_id, &name).await;
        assert_eq!(boss.get(&path).await.ok()["name"], Value::Null);
        let content = json!({"body": "gone", "replacement_room": "!new:playhouse.test"});
        anna.set_state(&room_id, "m.room.tombstone", "", content)
            .await
            .ok();
        anna.leave(&room_id).await;
        anna.act(&room_id, "forget", json!({})).await.ok();
        let told = boss.get(&path).await.ok();
        assert_eq!(told["tombstoned"], true);
        assert_eq!(told["replacement_room"], "!new:playhouse.test");
        assert_eq!(
            (&told["joined_members"], &told["forgotten"]),
            (&json!(0), &json!(true))
        );
    })
    .await;
}
