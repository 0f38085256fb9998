//! Everything that a user sent, redacted; and what goes on in the background.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{list, room_path, text},
        stage::{fresh, on_each_engine, on_own_servers},
    },
    harness::{Client, client::encode},
};

const ADMIN: &str = "/_synapse/admin/v1";

async fn redacted(boss: &Client, user_id: &str, body: Value) -> (String, Value) {
    let path = format!("{ADMIN}/user/{}/redact", encode(user_id));
    let id = text(&boss.post(&path, body).await.ok()["redact_id"]);
    let told = ended(boss, &id).await;
    (id, told)
}

/// Waits until a redaction has come to its end.
async fn ended(boss: &Client, id: &str) -> Value {
    let path = format!("{ADMIN}/user/redact_status/{id}");
    for _ in 0..2_400 {
        let told = boss.get(&path).await.ok();
        if told["status"] != "active" {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to its end");
}

/// What is left of what somebody said.
async fn left(reader: &Client, room_id: &str, user_id: &str) -> Vec<String> {
    let history = reader.history(room_id).await;
    let theirs = history.iter().filter(|event| event["sender"] == user_id);
    theirs
        .filter_map(|event| event["content"]["body"].as_str())
        .map(ToOwned::to_owned)
        .collect()
}

/// Three redactions of a user have come to their end; the last one is this.
async fn tasks_are_told(boss: &Client, user_id: &str, id: &str) {
    let path = format!("{ADMIN}/scheduled_tasks?resource_id={}", encode(user_id));
    let told = boss.get(&path).await.ok();
    let tasks = list(&told["scheduled_tasks"]);
    assert_eq!(tasks.len(), 3);
    let task = tasks.iter().find(|task| task["id"] == id);
    let task = task.expect("the last one");
    assert_eq!(
        (&task["action"], &task["status"]),
        (&json!("redact_all_events"), &json!("complete"))
    );
    for (query, count) in [
        ("&status=active", 0),
        ("&action_name=purge_history", 0),
        ("&max_timestamp=1", 0),
        ("&job_status=complete", 3),
    ] {
        let told = boss.get(&format!("{path}{query}")).await.ok();
        assert_eq!(list(&told["scheduled_tasks"]).len(), count, "{query}");
    }
    let odd = format!("{path}&status=odd");
    boss.get(&odd).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_user_sent_goes() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let [anna, troll] = stage.users(["anna", "troll"]).await;
        let mut rooms = Vec::new();
        for _ in 0..2 {
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            troll.join(&room_id).await;
            for number in 0..3 {
                troll.say(&room_id, &format!("spam {number}")).await;
            }
            anna.say(&room_id, "ham").await;
            rooms.push(room_id);
        }
        let [first, second] = [&rooms[0], &rooms[1]];
        // Who is not in the room cannot redact there.
        let wish = json!({"rooms": [first], "use_admin": true});
        let (_, told) = redacted(&boss, &troll.user_id, wish).await;
        assert_eq!(told["status"], "complete", "{told}");
        let failed = told["failed_redactions"].as_object().expect("an object");
        assert_eq!(failed.len(), 4, "three messages and the join: {told}");
        let wish = json!({"rooms": [first], "limit": 2});
        let (_, told) = redacted(&boss, &troll.user_id, wish).await;
        assert_eq!(told, json!({"status": "complete", "failed_redactions": {}}));
        assert_eq!(left(&anna, first, &troll.user_id).await, ["spam 0"]);
        let wish = json!({"rooms": [], "reason": "spam"});
        let (id, told) = redacted(&boss, &troll.user_id, wish).await;
        assert_eq!(told["failed_redactions"], json!({}));
        for room_id in [first, second] {
            assert!(left(&anna, room_id, &troll.user_id).await.is_empty());
            assert_eq!(left(&anna, room_id, &anna.user_id).await, ["ham"]);
            // The join stays one.
            let members = anna.get(&room_path(room_id, "joined_members")).await.ok();
            assert!(members["joined"][&troll.user_id].is_object(), "{members}");
        }
        tasks_are_told(&boss, &troll.user_id, &id).await;
        let path = format!("{ADMIN}/user/{}/redact", encode(&troll.user_id));
        boss.post(&path, json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
        let none = json!({"rooms": [], "limit": 0});
        boss.post(&path, none).await.refused(400, "M_INVALID_PARAM");
        let unknown = format!("{ADMIN}/user/redact_status/unknown");
        boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
        anna.post(&path, json!({"rooms": []}))
            .await
            .refused(403, "M_FORBIDDEN");
        let tasks = format!("{ADMIN}/scheduled_tasks");
        anna.get(&tasks).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_goes_on_after_a_crash_and_not_too_far() {
    on_own_servers(&[], async |server| {
        let anna = server.register(&fresh("anna")).await;
        let troll = server.register(&fresh("troll")).await;
        let boss = administrator(&anna, &fresh("boss")).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        troll.join(&room_id).await;
        for number in 0..60 {
            troll.say(&room_id, &format!("spam {number}")).await;
        }
        let path = format!("{ADMIN}/user/{}/redact", encode(&troll.user_id));
        let wish = json!({"rooms": [room_id], "limit": 40});
        let id = text(&boss.post(&path, wish).await.ok()["redact_id"]);
        let deadline = Instant::now() + Duration::from_secs(120);
        while left(&anna, &room_id, &troll.user_id).await.len() == 60 {
            assert!(Instant::now() < deadline, "it does not begin");
        }
        server.kill();
        server.start_again();
        let [anna, boss] = [anna, boss].map(|client| client.at(server.base()));
        let told = ended(&boss, &id).await;
        assert_eq!(told, json!({"status": "complete", "failed_redactions": {}}));
        assert_eq!(left(&anna, &room_id, &troll.user_id).await.len(), 20);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_cannot_be_paused() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let path = |rest: &str| format!("{ADMIN}/background_updates/{rest}");
        assert_eq!(
            boss.get(&path("enabled")).await.ok(),
            json!({"enabled": true})
        );
        let answer = boss.post(&path("enabled"), json!({"enabled": true})).await;
        assert_eq!(answer.ok(), json!({"enabled": true}));
        let off = json!({"enabled": false});
        boss.post(&path("enabled"), off)
            .await
            .refused(400, "M_INVALID_PARAM");
        let wanted = json!({"enabled": true, "current_updates": {}});
        assert_eq!(boss.get(&path("status")).await.ok(), wanted);
        for name in ["regenerate_directory", "unknown"] {
            let answer = boss
                .post(&path("start_job"), json!({"job_name": name}))
                .await;
            answer.refused(400, "M_INVALID_PARAM");
        }
        let features = format!("{ADMIN}/experimental_features/{}", encode(&anna.user_id));
        let told = boss.get(&features).await.ok()["features"].clone();
        assert_eq!(told["msc4222"], true);
        let same = boss.put(&features, json!({"features": told})).await;
        assert_eq!(same.ok(), json!({}));
        for wrong in [
            json!({"features": {"msc4222": false}}),
            json!({"features": {"msc1": true}}),
            json!({"features": {}}),
        ] {
            boss.put(&features, wrong)
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        for path in [path("enabled"), path("status"), features] {
            anna.get(&path).await.refused(403, "M_FORBIDDEN");
        }
    })
    .await;
}
