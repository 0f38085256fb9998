//! Reports to the administrators.

use serde_json::json;

use super::{props::room_path, stage::on_each_engine};
use crate::harness::client::encode;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_reported_need_not_be_known() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let secret = anna.create_room(json!({"preset": "private_chat"})).await;
        let reason = json!({"reason": "spam"});
        for room_id in [secret.as_str(), "!unknown:example.org"] {
            let answer = bert
                .post(&room_path(room_id, "report"), reason.clone())
                .await;
            assert_eq!(answer.ok(), json!({}));
        }
        for user_id in [anna.user_id.as_str(), "@unknown:example.org"] {
            let path = format!("/_matrix/client/v3/users/{}/report", encode(user_id));
            assert_eq!(bert.post(&path, reason.clone()).await.ok(), json!({}));
            bert.post(&path, json!({}))
                .await
                .refused(400, "M_MISSING_PARAM");
        }
        let long = json!({"reason": "x".repeat(9_000)});
        let answer = bert.post(&room_path(&secret, "report"), long).await;
        answer.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_reported_by_those_who_see_it() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        let event_id = anna.say(&room_id, "bad").await;
        let at = |room_id: &str, event_id: &str| {
            room_path(room_id, &format!("report/{}", encode(event_id)))
        };
        let path = at(&room_id, &event_id);
        assert_eq!(
            anna.post(&path, json!({"reason": "so"})).await.ok(),
            json!({})
        );
        assert_eq!(anna.post(&path, json!({})).await.ok(), json!({}));
        bert.post(&path, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
        for path in [
            at("!unknown:example.org", &event_id),
            at(&room_id, "$unknown"),
        ] {
            anna.post(&path, json!({}))
                .await
                .refused(404, "M_NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_bounded() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let path = room_path("!unknown:example.org", "report");
        for _ in 0..30 {
            anna.post(&path, json!({"reason": ""})).await.ok();
        }
        let body = anna.post(&path, json!({"reason": ""})).await;
        let body = body.refused(429, "M_LIMIT_EXCEEDED");
        assert!(body["retry_after_ms"].as_u64() > Some(0));
    })
    .await;
}
