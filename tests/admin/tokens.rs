//! Tokens of tools, and what may be done with them.

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, client::encode},
};

const TOKENS: &str = "/_playhouse/admin/v1/tokens";

const AUDIT: &str = "/_playhouse/admin/v1/audit";

/// Makes a token; gives a client that uses it, and its ID.
async fn tool(boss: &Client, roles: Value, lifetime_ms: u64) -> (Client, String) {
    let wish = json!({"name": "a tool", "roles": roles, "lifetime_ms": lifetime_ms});
    let made = boss.post(TOKENS, wish).await.ok();
    let mut client = boss.nobody();
    client.token = Some(text(&made["token"]));
    (client, text(&made["id"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_what_its_roles_open() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let day = 24 * 60 * 60 * 1_000;
        let (reader, _) = tool(&boss, json!(["read"]), day).await;
        let (moderator, _) = tool(&boss, json!(["moderate"]), day).await;
        let (operator, id) = tool(&boss, json!(["operate"]), day).await;
        for tool in [&reader, &moderator, &operator] {
            tool.get(AUDIT).await.ok();
            // Nobody's devices and rooms, and nothing of what tools for Synapse know.
            for path in [
                "/_matrix/client/v3/account/whoami",
                "/_synapse/admin/v2/users",
            ] {
                tool.get(path).await.refused(401, "M_UNKNOWN_TOKEN");
            }
        }
        for tool in [&reader, &moderator] {
            tool.get(TOKENS).await.refused(403, "M_FORBIDDEN");
            let wish = json!({"name": "x", "roles": ["read"]});
            tool.post(TOKENS, wish).await.refused(403, "M_FORBIDDEN");
        }
        anna.get(TOKENS).await.refused(403, "M_FORBIDDEN");
        // None gives a role that it has not.
        let wish = json!({"name": "x", "roles": ["read", "moderate"]});
        operator
            .post(TOKENS, wish)
            .await
            .refused(403, "M_FORBIDDEN");
        let ban = format!(
            "/_synapse/admin/v1/users/{}/shadow_ban",
            encode(&anna.user_id)
        );
        boss.post(&ban, json!({})).await.ok();
        let change = boss.get(&format!("{AUDIT}?limit=1")).await.ok()["changes"][0].clone();
        let undo = format!("{AUDIT}/{}/undo", change["id"]);
        reader
            .post(&undo, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        operator
            .post(&undo, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        moderator.post(&undo, json!({})).await.ok();
        let undone = boss.get(&format!("{AUDIT}?limit=1")).await.ok()["changes"][0].clone();
        assert!(text(&undone["by"]).starts_with("token:"), "{undone}");
        // It outlives the server's process, and ends at once when it is revoked.
        server.restart();
        let [boss, operator] = [&boss, &operator].map(|client| client.at(server.base()));
        let listed = operator.get(TOKENS).await.ok();
        let listed = listed["tokens"].as_array().expect("a list");
        assert_eq!(listed.len(), 3);
        let token = operator.token.as_deref().expect("a token");
        assert!(!json!(listed).to_string().contains(token), "{listed:?}");
        operator.delete(&format!("{TOKENS}/{id}")).await.ok();
        operator.get(TOKENS).await.refused(401, "M_UNKNOWN_TOKEN");
        boss.delete(&format!("{TOKENS}/{id}"))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_operates_takes_back_what_that_takes() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let day = 24 * 60 * 60 * 1_000;
        let (reader, _) = tool(&boss, json!(["read"]), day).await;
        let (moderator, _) = tool(&boss, json!(["moderate"]), day).await;
        let (operator, _) = tool(&boss, json!(["operate"]), day).await;
        let tokens = "/_synapse/admin/v1/registration_tokens";
        boss.post(&format!("{tokens}/new"), json!({"token": "welcome"}))
            .await
            .ok();
        let change = boss.get(&format!("{AUDIT}?limit=1")).await.ok()["changes"][0].clone();
        let undo = format!("{AUDIT}/{}/undo", change["id"]);
        for tool in [&reader, &moderator] {
            tool.post(&undo, json!({}))
                .await
                .refused(403, "M_FORBIDDEN");
        }
        operator.post(&undo, json!({})).await.ok();
        boss.get(&format!("{tokens}/welcome"))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_by_itself() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let (short, _) = tool(&boss, json!(["read"]), 1).await;
        for _ in 0..12_000 {
            if short.get(AUDIT).await.status == 401 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        short.get(AUDIT).await.refused(401, "M_UNKNOWN_TOKEN");
        let listed = boss.get(TOKENS).await.ok();
        assert_eq!(listed, json!({"tokens": []}));
        let year = 367_u64 * 24 * 60 * 60 * 1_000;
        for wrong in [
            json!({"name": "x", "roles": []}),
            json!({"name": "x", "roles": ["king"]}),
            json!({"name": "", "roles": ["read"]}),
            json!({"name": "x".repeat(101), "roles": ["read"]}),
            json!({"name": "x", "roles": ["read"], "lifetime_ms": 0}),
            json!({"name": "x", "roles": ["read"], "lifetime_ms": year}),
        ] {
            boss.post(TOKENS, wrong)
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        boss.post(TOKENS, json!({"roles": ["read"]}))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}
