//! Looking after single rooms.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Shared, administrator};
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{client::encode, only_alone},
};

fn path(room_id: &str, rest: &str) -> String {
    format!("/_playhouse/admin/v1/rooms/{}/{rest}", encode(room_id))
}

fn of_kind<'a>(storage: &'a Value, kind: &str) -> &'a Value {
    let kinds = storage["kinds"].as_array().expect("a list");
    let found = kinds.iter().find(|one| one["kind"] == kind);
    found.unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_tells_what_it_takes_and_where_it_ends() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let before = boss.get(&path(&room_id, "storage")).await.ok();
        let long = "x".repeat(5_000);
        let last = anna.say(&room_id, &long).await;
        let after = boss.get(&path(&room_id, "storage")).await.ok();
        let bytes = |storage: &Value| of_kind(storage, "event")["bytes"].as_u64().expect("bytes");
        assert!(bytes(&after) > bytes(&before) + 5_000, "{before} {after}");
        assert_eq!(
            after["records"].as_u64(),
            before["records"].as_u64().map(|count| count + 1)
        );
        assert_eq!(after["partial"], false);
        let told = boss.get(&path(&room_id, "graph")).await.ok();
        let ends = told["graph"]["forward_extremities"]
            .as_array()
            .expect("a list");
        assert_eq!(ends.len(), 1);
        assert_eq!(ends[0]["event_id"], json!(last));
        assert_eq!(told["graph"]["joined_members"], 1);
        assert_eq!(told["alarms"], json!([]));
        assert_eq!(told["parked"], json!([]));
        // Folded anew it is the same, also for those who talk meanwhile.
        if !only_alone("a room is folded anew by the node that has it") {
            let folded = boss.post(&path(&room_id, "refold"), json!({})).await.ok();
            assert_eq!(folded["changed"], false, "{folded}");
            assert_eq!(folded["after"]["sequence"], told["graph"]["sequence"]);
        }
        let next = anna.say(&room_id, "still here").await;
        let told = boss.get(&path(&room_id, "graph")).await.ok();
        assert_eq!(
            told["graph"]["forward_extremities"][0]["event_id"],
            json!(next)
        );
        for rest in ["storage", "graph", "state/why?type=m.room.create"] {
            anna.get(&path(&room_id, rest))
                .await
                .refused(403, "M_FORBIDDEN");
            boss.get(&path("!nothing:playhouse.test", rest))
                .await
                .refused(404, "M_NOT_FOUND");
        }
        let refold = path("!nothing:playhouse.test", "refold");
        boss.post(&refold, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_says_why_it_is_in_force() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let mut names = Vec::new();
        for name in ["one", "two", "three"] {
            let set = anna
                .set_state(&room_id, "m.room.name", "", json!({"name": name}))
                .await
                .ok();
            names.push(set["event_id"].clone());
        }
        let why = path(&room_id, "state/why?type=m.room.name");
        let told = boss.get(&why).await.ok();
        assert_eq!(told["in_force"]["event_id"], names[2]);
        let replaced = told["replaced"].as_array().expect("a list");
        let replaced: Vec<_> = replaced
            .iter()
            .map(|event| event["event_id"].clone())
            .collect();
        assert_eq!(replaced, [names[1].clone(), names[0].clone()]);
        let allowed = told["auth_events"].as_array().expect("a list");
        let mut types: Vec<_> = allowed.iter().map(|event| text(&event["type"])).collect();
        types.sort_unstable();
        assert!(
            types.iter().any(|kind| kind == "m.room.member"),
            "{types:?}"
        );
        assert!(
            types.iter().any(|kind| kind == "m.room.power_levels"),
            "{types:?}"
        );
        let member = format!(
            "state/why?type=m.room.member&state_key={}",
            encode(&anna.user_id)
        );
        let told = boss.get(&path(&room_id, &member)).await.ok();
        assert_eq!(told["in_force"]["state_key"], json!(anna.user_id));
        boss.get(&path(&room_id, "state/why?type=m.room.topic"))
            .await
            .refused(404, "M_NOT_FOUND");
        boss.get(&path(&room_id, "state/why"))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_state_is_compared_with_that_of_others() {
    let shared = Shared::open().await;
    let (boss, room_id) = (&shared.boss, &shared.room_id);
    let compare = path(room_id, "compare?server_name=two.town&server_name=one.town");
    let mut told = Value::Null;
    // What was said last must have come there first.
    for _ in 0..2_400 {
        told = boss.get(&compare).await.ok();
        if told["servers"][1]["same"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(told["servers"][1]["server_name"], "two.town");
    assert_eq!(told["servers"][1]["same"], true, "{told}");
    assert!(
        told["servers"][1]["state_events"].as_u64() > Some(3),
        "{told}"
    );
    assert!(told["servers"][0]["error"].is_string(), "{told}");
    boss.get(&path(room_id, "compare"))
        .await
        .refused(400, "M_INVALID_PARAM");
    boss.get(&path(room_id, "compare?server_name=%20"))
        .await
        .refused(400, "M_INVALID_PARAM");
}
