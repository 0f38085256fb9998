//! Locking and suspending accounts, and where they were used from.

use serde_json::json;

use super::stage::on_own_servers;
use crate::harness::{administrator, client::encode};

fn path(what: &str, user: &str) -> String {
    format!("/_matrix/client/v1/admin/{what}/{}", encode(user))
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_lock_and_suspend() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let other = administrator(&server.client(), "other").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        for (what, field) in [("lock", "locked"), ("suspend", "suspended")] {
            let at = path(what, &anna.user_id);
            assert_eq!(boss.get(&at).await.ok(), json!({field: false}));
            assert_eq!(
                boss.put(&at, json!({field: true})).await.ok(),
                json!({field: true})
            );
            assert_eq!(boss.get(&at).await.ok(), json!({field: true}));
            let answer = anna
                .set_state(&room_id, "m.room.name", "", json!({"name": "X"}))
                .await;
            if what == "lock" {
                let body = answer.refused(401, "M_USER_LOCKED");
                assert_eq!(body["soft_logout"], true);
            } else {
                answer.refused(403, "M_USER_SUSPENDED");
            }
            boss.put(&at, json!({field: false})).await.ok();
            anna.say(&room_id, "free").await;
            // Only for administrators, and not against them.
            anna.get(&at).await.refused(403, "M_FORBIDDEN");
            anna.put(&at, json!({field: true}))
                .await
                .refused(403, "M_FORBIDDEN");
            for target in [&boss, &other] {
                let at = path(what, &target.user_id);
                boss.put(&at, json!({field: true}))
                    .await
                    .refused(403, "M_FORBIDDEN");
            }
            let unknown = anna.user_id.replace("@anna", "@nobody");
            boss.get(&path(what, &unknown))
                .await
                .refused(404, "M_NOT_FOUND");
            let remote = path(what, "@anna:elsewhere.invalid");
            boss.put(&remote, json!({field: true}))
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        let whois = format!("/_matrix/client/v3/admin/whois/{}", encode(&anna.user_id));
        for client in [&anna, &boss] {
            let answer = client.get(&whois).await.ok();
            assert_eq!(answer["user_id"], *anna.user_id);
            let sessions = &answer["devices"][&anna.device_id]["sessions"];
            assert!(sessions[0]["connections"][0].is_object(), "{answer}");
        }
        let whois = format!("/_matrix/client/v3/admin/whois/{}", encode(&boss.user_id));
        anna.get(&whois).await.refused(403, "M_FORBIDDEN");
        let capabilities = "/_matrix/client/v3/capabilities";
        let told = boss.get(capabilities).await.ok();
        assert_eq!(
            told["capabilities"]["m.account_moderation"],
            json!({"lock": true, "suspend": true})
        );
    })
    .await;
}
