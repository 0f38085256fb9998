//! What users reported, as administrators see it.

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{list, room_path},
        stage::on_own_servers,
    },
    harness::{Client, client::encode},
};

const EVENTS: &str = "/_synapse/admin/v1/event_reports";
const USERS: &str = "/_synapse/admin/v1/user_reports";

async fn report_event(client: &Client, room_id: &str, event_id: &str, reason: &str) {
    let path = room_path(room_id, &format!("report/{}", encode(event_id)));
    client.post(&path, json!({"reason": reason})).await.ok();
}

async fn reasons(boss: &Client, query: &str) -> Vec<String> {
    let told = boss.get(&format!("{EVENTS}?{query}")).await.ok();
    let reports = list(&told["event_reports"]).iter();
    reports
        .map(|report| report["reason"].as_str().expect("a reason").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reported_events_are_listed_shown_and_deleted() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let wish = json!({"preset": "public_chat", "name": "Hall", "room_alias_name": "hall"});
        let room_id = anna.create_room(wish).await;
        bert.join(&room_id).await;
        let [first, second] = [
            anna.say(&room_id, "bad").await,
            bert.say(&room_id, "worse").await,
        ];
        report_event(&bert, &room_id, &first, "rude words").await;
        report_event(&anna, &room_id, &second, "ruder words").await;
        assert_eq!(reasons(&boss, "").await, ["ruder words", "rude words"]);
        assert_eq!(reasons(&boss, "dir=f").await, ["rude words", "ruder words"]);
        assert_eq!(reasons(&boss, "user_id=bert").await, ["rude words"]);
        assert_eq!(
            reasons(&boss, "event_sender_user_id=%40bert").await,
            ["ruder words"]
        );
        assert!(reasons(&boss, "room_id=elsewhere").await.is_empty());
        let page = boss.get(&format!("{EVENTS}?limit=1")).await.ok();
        assert_eq!(
            (&page["total"], &page["next_token"]),
            (&json!(2), &json!(1))
        );
        let report = &page["event_reports"][0];
        for (field, value) in [
            ("room_id", json!(room_id)),
            ("name", json!("Hall")),
            ("canonical_alias", json!("#hall:playhouse.test")),
            ("event_id", json!(second)),
            ("user_id", json!(anna.user_id)),
            ("sender", json!(bert.user_id)),
            ("score", Value::Null),
        ] {
            assert_eq!(report[field], value, "{field}");
        }
        let one = format!("{EVENTS}/{}", report["id"]);
        let shown = boss.get(&one).await.ok();
        assert_eq!(shown["reason"], "ruder words");
        assert_eq!(shown["event_json"]["content"]["body"], "worse");
        anna.get(&one).await.refused(403, "M_FORBIDDEN");
        anna.delete(&one).await.refused(403, "M_FORBIDDEN");
        assert_eq!(boss.delete(&one).await.ok(), json!({}));
        boss.delete(&one).await.refused(404, "M_NOT_FOUND");
        boss.get(&one).await.refused(404, "M_NOT_FOUND");
        boss.get(&format!("{EVENTS}/x"))
            .await
            .refused(400, "M_INVALID_PARAM");
        server.restart();
        let boss = boss.at(server.base());
        assert_eq!(reasons(&boss, "").await, ["rude words"]);
        server.stop();
        let (whole, text) = server.command_line(&["log", "verify"]);
        assert!(whole, "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reported_users_are_listed_shown_and_deleted() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let path = format!("/_matrix/client/v3/users/{}/report", encode(&bert.user_id));
        anna.post(&path, json!({"reason": "spam"})).await.ok();
        anna.post(
            &room_path("!r:playhouse.test", "report"),
            json!({"reason": "a room"}),
        )
        .await
        .ok();
        let told = boss.get(USERS).await.ok();
        assert_eq!(told["total"], 1);
        let report = &told["user_reports"][0];
        assert_eq!(report["target_user_id"], json!(bert.user_id));
        assert_eq!(
            (&report["user_id"], &report["reason"]),
            (&json!(anna.user_id), &json!("spam"))
        );
        for (query, count) in [
            ("target_user_id=bert", 1),
            ("target_user_id=anna", 0),
            ("user_id=anna", 1),
        ] {
            let told = boss.get(&format!("{USERS}?{query}")).await.ok();
            assert_eq!(told["total"], count, "{query}");
        }
        let one = format!("{USERS}/{}", report["id"]);
        assert_eq!(&boss.get(&one).await.ok(), report);
        // It is no report of an event.
        let other = format!("{EVENTS}/{}", report["id"]);
        boss.get(&other).await.refused(404, "M_NOT_FOUND");
        bert.get(USERS).await.refused(403, "M_FORBIDDEN");
        bert.delete(&one).await.refused(403, "M_FORBIDDEN");
        boss.delete(&one).await.ok();
        boss.get(&one).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}
