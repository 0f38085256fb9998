//! The list of rooms, and the page of one.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{PATIENCE, REFERENCE, V1, V2, ends, has, names};
use crate::{
    admin::administrator,
    client::{
        props::{list, text},
        stage::on_own_servers,
    },
    harness::{Client, client::encode},
};

/// As a row of the room list is read.
const ROOM: [&str; 14] = [
    "room_id",
    "name",
    "canonical_alias",
    "joined_members",
    "joined_local_members",
    "version",
    "creator",
    "encryption",
    "federatable",
    "public",
    "join_rules",
    "guest_access",
    "history_visibility",
    "state_events",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_rooms_work() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let wish = json!({
            "preset": "public_chat", "name": "Hall", "topic": "Everything", "room_alias_name": "hall", "visibility": "public"
        });
        let hall = anna.create_room(wish).await;
        bert.join(&hall).await;
        let yard = json!({"name": "Yard", "creation_content": {"type": "m.space"}});
        let yard = anna.create_room(yard).await;
        let child = json!({"via": ["playhouse.test"]});
        anna.set_state(&yard, "m.space.child", &hall, child).await.ok();
        let said = [anna.say(&hall, "one").await, bert.say(&hall, "two").await];
        room_list(&boss).await;
        room_tabs(&boss, &hall).await;
        room_messages(&boss, &hall, &said).await;
        room_hierarchy(&boss, &yard).await;
        room_buttons(&boss, &bert, &hall).await;
    })
    .await;
}

async fn room_list(boss: &Client) {
    let path = format!("{V1}/rooms?from=0&limit=50&order_by=name&dir=f");
    let end = Instant::now() + PATIENCE;
    let all = loop {
        let told = boss.get(&path).await.ok();
        if told["rooms"][0]["joined_members"] == 2 {
            break told;
        }
        assert!(Instant::now() < end, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(all["total_rooms"], 2);
    assert_eq!(names(&all["rooms"], "name"), ["Hall", "Yard"]);
    for room in list(&all["rooms"]) {
        has(room, &ROOM);
    }
    for (query, count) in [
        ("search_term=hal", 1),
        ("public_rooms=true", 1),
        ("public_rooms=false", 1),
        ("empty_rooms=true", 0),
        ("empty_rooms=false", 2),
    ] {
        let path = format!("{V1}/rooms?from=0&limit=50&order_by=joined_members&dir=b&{query}");
        assert_eq!(boss.get(&path).await.ok()["total_rooms"], count, "{query}");
    }
}

/// Room IDs stand in these paths as they are.
async fn room_tabs(boss: &Client, hall: &str) {
    let room = boss.get(&format!("{V1}/rooms/{}", encode(hall))).await.ok();
    has(&room, &ROOM);
    has(
        &room,
        &["avatar", "topic", "joined_local_devices", "room_type"],
    );
    assert_eq!(room["topic"], "Everything");
    let members = boss
        .get(&format!("{V1}/rooms/{hall}/members?{REFERENCE}"))
        .await
        .ok();
    assert_eq!(
        (list(&members["members"]).len(), &members["total"]),
        (2, &json!(2))
    );
    let state = boss
        .get(&format!("{V1}/rooms/{hall}/state?{REFERENCE}"))
        .await
        .ok();
    for event in list(&state["state"]) {
        has(
            event,
            &[
                "event_id",
                "type",
                "state_key",
                "sender",
                "origin_server_ts",
                "content",
            ],
        );
    }
    let media = boss
        .get(&format!("{V1}/room/{hall}/media?{REFERENCE}"))
        .await
        .ok();
    assert_eq!(media["local"], json!([]));
    let ends = boss
        .get(&format!(
            "{V1}/rooms/{hall}/forward_extremities?{REFERENCE}"
        ))
        .await
        .ok();
    assert_eq!(
        (&ends["count"], list(&ends["results"]).len()),
        (&json!(1), 1)
    );
    has(
        &ends["results"][0],
        &["event_id", "state_group", "depth", "received_ts"],
    );
}

/// The newest event by its time, a place from its context with no events around it, then pages.
async fn room_messages(boss: &Client, hall: &str, said: &[String; 2]) {
    let room = format!("{V1}/rooms/{}", encode(hall));
    let now = 4_102_444_800_000_u64;
    let newest = boss
        .get(&format!("{room}/timestamp_to_event?ts={now}&dir=b"))
        .await
        .ok();
    assert_eq!(newest["event_id"], said[1]);
    assert!(newest["origin_server_ts"].is_u64());
    let context = format!("{room}/context/{}", encode(&said[1]));
    let context = boss.get(&format!("{context}?limit=0")).await.ok();
    let messages = |query: &str| format!("{room}/messages?{query}");
    let from = encode(&text(&context["end"]));
    let page = boss
        .get(&messages(&format!("from={from}&limit=50&dir=b")))
        .await
        .ok();
    assert_eq!(
        names(&page["chunk"], "event_id")[..2],
        [said[1].clone(), said[0].clone()]
    );
    assert!(page["start"].is_string());
    let filter = encode(&json!({"types": ["m.room.message"], "contains_url": false}).to_string());
    let page = boss
        .get(&messages(&format!(
            "from={from}&limit=1&dir=b&filter={filter}"
        )))
        .await
        .ok();
    assert_eq!(names(&page["chunk"], "event_id"), [said[1].clone()]);
    let from = encode(&text(&page["end"]));
    let page = boss
        .get(&messages(&format!(
            "from={from}&limit=1&dir=b&filter={filter}"
        )))
        .await
        .ok();
    assert_eq!(names(&page["chunk"], "event_id"), [said[0].clone()]);
    let context = format!("{room}/context/{}?limit=5", encode(&said[0]));
    let context = boss.get(&context).await.ok();
    assert_eq!(context["event"]["event_id"], said[0]);
    assert_eq!(
        names(&context["events_after"], "event_id"),
        [said[1].clone()]
    );
    has(&context, &["events_before", "start", "end", "state"]);
    let event = boss
        .get(&format!("{V1}/fetch_event/{}", encode(&said[0])))
        .await
        .ok();
    assert_eq!(event["event"]["content"]["body"], "one");
}

async fn room_hierarchy(boss: &Client, yard: &str) {
    let path = format!("{V1}/rooms/{}/hierarchy?limit=50&max_depth=2", encode(yard));
    let tree = boss.get(&path).await.ok();
    assert_eq!(names(&tree["rooms"], "name"), ["Yard", "Hall"]);
    for room in list(&tree["rooms"]) {
        has(
            room,
            &[
                "room_id",
                "num_joined_members",
                "guest_can_join",
                "world_readable",
                "children_state",
            ],
        );
    }
    let child = &tree["rooms"][0]["children_state"][0];
    has(
        child,
        &["type", "state_key", "content", "sender", "origin_server_ts"],
    );
}

async fn room_buttons(boss: &Client, bert: &Client, hall: &str) {
    let room = format!("{V1}/rooms/{}", encode(hall));
    let block = format!("{room}/block");
    boss.put(&block, json!({"block": true})).await.ok();
    assert_eq!(boss.get(&block).await.ok()["block"], true);
    boss.put(&block, json!({"block": false})).await.ok();
    let user = json!({"user_id": bert.user_id});
    boss.post(&format!("{room}/make_room_admin"), user)
        .await
        .ok();
    let join = format!("{V1}/join/{}", encode(hall));
    boss.post(&join, json!({"user_id": boss.user_id}))
        .await
        .ok();
    let quarantine = format!("{V1}/room/{}/media/quarantine", encode(hall));
    assert_eq!(
        boss.post(&quarantine, json!({})).await.ok()["num_quarantined"],
        0
    );
    let purge = json!({"purge_up_to_ts": 4_102_444_800_000_u64, "delete_local_events": false});
    let begun = boss
        .post(&format!("{V1}/purge_history/{}", encode(hall)), purge)
        .await
        .ok();
    ends(
        boss,
        &format!("{V1}/purge_history_status/{}", text(&begun["purge_id"])),
    )
    .await;
    let delete = json!({"block": false, "purge": true, "force_purge": true});
    let path = format!("{V2}/rooms/{}", encode(hall));
    let begun = boss.request(Method::DELETE, &path, Some(delete)).await.ok();
    let status = format!("{V2}/rooms/delete_status/{}", text(&begun["delete_id"]));
    let told = ends(boss, &status).await;
    assert_eq!(told["shutdown_room"]["failed_to_kick_users"], json!([]));
    // A list that still names it is shown all the same.
    boss.get(&room).await.refused(404, "M_NOT_FOUND");
}
