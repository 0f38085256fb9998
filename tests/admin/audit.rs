//! What administrators have changed, and taking it back.

use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, client::encode},
};

const AUDIT: &str = "/_playhouse/admin/v1/audit";

/// The newest changes that are asked for.
async fn changes(boss: &Client, query: &str) -> Vec<Value> {
    let answer = boss.get(&format!("{AUDIT}{query}")).await.ok();
    answer["changes"].as_array().expect("a list").clone()
}

async fn newest(boss: &Client) -> Value {
    changes(boss, "?limit=1").await.remove(0)
}

async fn undo(boss: &Client, change: &Value) -> crate::harness::client::Answer {
    boss.post(&format!("{AUDIT}/{}/undo", change["id"]), json!({}))
        .await
}

fn of_user(user: &Client, rest: &str) -> String {
    format!("/_synapse/admin/v1/users/{}{rest}", encode(&user.user_id))
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_noted_and_taken_back() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let made = newest(&boss).await;
        assert_eq!(made["by"], "registration shared secret");
        assert_eq!(made["target"], json!(boss.user_id));
        let anna = server.register("anna").await;
        let admin = of_user(&anna, "/admin");
        boss.put(&admin, json!({"admin": true})).await.ok();
        let change = newest(&boss).await;
        assert_eq!(change["by"], json!(boss.user_id));
        assert_eq!(
            change["action"],
            "PUT /_synapse/admin/v1/users/{user_id}/admin"
        );
        assert_eq!(
            (&change["kind"], &change["target"]),
            (&json!("user"), &json!(anna.user_id))
        );
        assert_eq!(
            (&change["before"]["admin"], &change["after"]["admin"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(
            (&change["status"], &change["can_be_undone"]),
            (&json!(200), &json!(true))
        );
        assert_eq!(change["request"]["body"], json!({"admin": true}));
        // Who looks changes nothing, and who is no administrator cannot look.
        boss.get(&admin).await.ok();
        assert_eq!(newest(&boss).await["id"], change["id"]);
        server
            .register("bert")
            .await
            .get(AUDIT)
            .await
            .refused(403, "M_FORBIDDEN");
        server.restart();
        let [boss, anna] = [&boss, &anna].map(|client| client.at(server.base()));
        undo(&boss, &change).await.ok();
        assert_eq!(boss.get(&admin).await.ok(), json!({"admin": false}));
        let undone = newest(&boss).await;
        assert_eq!(
            (&undone["undoes"], &undone["target"]),
            (&change["id"], &json!(anna.user_id))
        );
        assert_eq!(undone["can_be_undone"], false);
        let path = format!("{AUDIT}/{}", change["id"]);
        assert_eq!(boss.get(&path).await.ok()["undone_by"], undone["id"]);
        undo(&boss, &change).await.refused(400, "M_INVALID_PARAM");
        // Somebody else has changed it since.
        let ban = of_user(&anna, "/shadow_ban");
        boss.post(&ban, json!({})).await.ok();
        let banned = newest(&boss).await;
        boss.delete(&ban).await.ok();
        let ended = newest(&boss).await;
        undo(&boss, &banned).await.refused(409, "M_UNKNOWN");
        undo(&boss, &ended).await.ok();
        let account = format!("/_synapse/admin/v2/users/{}", encode(&anna.user_id));
        assert_eq!(boss.get(&account).await.ok()["shadow_banned"], true);
        for unknown in ["1000000", "x"] {
            boss.get(&format!("{AUDIT}/{unknown}"))
                .await
                .refused(404, "M_NOT_FOUND");
            boss.post(&format!("{AUDIT}/{unknown}/undo"), json!({}))
                .await
                .refused(404, "M_NOT_FOUND");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn standings_and_blocks_come_back() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let block = format!("/_synapse/admin/v1/rooms/{}/block", encode(&room_id));
        let rate = of_user(&anna, "/override_ratelimit");
        let suspend = format!("/_synapse/admin/v1/suspend/{}", encode(&anna.user_id));
        let account = format!("/_synapse/admin/v2/users/{}", encode(&anna.user_id));

        boss.put(&block, json!({"block": true})).await.ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(boss.get(&block).await.ok(), json!({"block": false}));

        boss.post(&rate, json!({"messages_per_second": 3, "burst_count": 5}))
            .await
            .ok();
        boss.post(&rate, json!({"messages_per_second": 7, "burst_count": 9}))
            .await
            .ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(
            boss.get(&rate).await.ok(),
            json!({"messages_per_second": 3, "burst_count": 5})
        );

        boss.put(&suspend, json!({"suspend": true})).await.ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(boss.get(&account).await.ok()["suspended"], false);

        boss.put(&account, json!({"locked": true})).await.ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(boss.get(&account).await.ok()["locked"], false);

        // Who has become an administrator meanwhile is not kept from being one.
        boss.put(&suspend, json!({"suspend": true})).await.ok();
        boss.put(&suspend, json!({"suspend": false})).await.ok();
        let resumed = newest(&boss).await;
        let admin = of_user(&anna, "/admin");
        boss.put(&admin, json!({"admin": true})).await.ok();
        undo(&boss, &resumed).await.refused(400, "M_INVALID_PARAM");
        assert_eq!(boss.get(&account).await.ok()["suspended"], false);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_tokens_come_back() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let tokens = "/_synapse/admin/v1/registration_tokens";
        boss.post(
            &format!("{tokens}/new"),
            json!({"token": "welcome", "uses_allowed": 3}),
        )
        .await
        .ok();
        let made = newest(&boss).await;
        assert_eq!(
            (&made["kind"], &made["target"]),
            (&json!("registration_token"), &json!("wel…"))
        );
        boss.put(&format!("{tokens}/welcome"), json!({"uses_allowed": 5}))
            .await
            .ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(
            boss.get(&format!("{tokens}/welcome")).await.ok()["uses_allowed"],
            3
        );
        boss.delete(&format!("{tokens}/welcome")).await.ok();
        undo(&boss, &newest(&boss).await).await.ok();
        assert_eq!(
            boss.get(&format!("{tokens}/welcome")).await.ok()["uses_allowed"],
            3
        );
        undo(&boss, &made).await.ok();
        boss.get(&format!("{tokens}/welcome"))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_that_was_put_away_comes_back() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let headers = [("content-type", "text/plain")];
        let upload = "/_matrix/media/v3/upload";
        let made = anna
            .with_headers(Method::POST, upload, &headers, b"words".to_vec())
            .await
            .ok();
        let uri = text(&made["content_uri"]);
        let id = uri.trim_start_matches("mxc://");
        let download = format!("/_matrix/client/v1/media/download/{id}");
        let is_given = async || anna.opened(&download).await.status().as_u16();
        let quarantine = format!("/_synapse/admin/v1/media/quarantine/{id}");
        boss.post(&quarantine, json!({})).await.ok();
        let change = newest(&boss).await;
        assert_eq!(
            (&change["kind"], &change["target"]),
            (&json!("media"), &json!(id))
        );
        assert_eq!(is_given().await, 404);
        undo(&boss, &change).await.ok();
        assert_eq!(is_given().await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_says_why() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let account = format!("/_synapse/admin/v2/users/{}", encode(&anna.user_id));
        // What cannot be taken back says why, and nobody's password is noted.
        boss.post(
            &format!(
                "/_synapse/admin/v1/reset_password/{}",
                encode(&anna.user_id)
            ),
            json!({"new_password": "s3cret-word"}),
        )
        .await
        .ok();
        let reset = newest(&boss).await;
        assert_eq!(reset["can_be_undone"], false);
        assert!(text(&reset["why_not"]).contains("password"), "{reset}");
        assert!(!reset.to_string().contains("s3cret-word"), "{reset}");
        undo(&boss, &reset).await.refused(400, "M_INVALID_PARAM");
        boss.put(&account, json!({"locked": "x"}))
            .await
            .refused(400, "M_BAD_JSON");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_found_page_by_page() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        for user in [&anna, &bert, &anna] {
            let rate = of_user(user, "/override_ratelimit");
            boss.post(&rate, json!({"messages_per_second": 3, "burst_count": 5}))
                .await
                .ok();
        }
        let of_anna = format!("?target={}", encode(&anna.user_id));
        assert_eq!(changes(&boss, &of_anna).await.len(), 2);
        assert_eq!(
            changes(&boss, &format!("?by={}", encode(&boss.user_id)))
                .await
                .len(),
            3
        );
        assert_eq!(changes(&boss, "?kind=room").await.len(), 0);
        let action = encode("POST /_synapse/admin/v1/users/{user_id}/override_ratelimit");
        assert_eq!(changes(&boss, &format!("?action={action}")).await.len(), 3);
        assert_eq!(changes(&boss, "?since=99999999999999").await.len(), 0);
        assert_eq!(changes(&boss, "?until=1").await.len(), 0);
        let (mut seen, mut from) = (Vec::new(), String::new());
        loop {
            let page = boss.get(&format!("{AUDIT}?limit=1{from}")).await.ok();
            let page_changes = page["changes"].as_array().expect("a list");
            seen.extend(
                page_changes
                    .iter()
                    .map(|change| change["id"].as_u64().expect("a number")),
            );
            match page["next"].as_u64() {
                Some(next) => from = format!("&from={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 4);
        assert!(seen.is_sorted_by(|newer, older| newer > older), "{seen:?}");
        boss.get(&format!("{AUDIT}?from=x"))
            .await
            .refused(400, "M_INVALID_PARAM");
    })
    .await;
}
