//! Registration tokens.

use serde_json::{Value, json};

use super::administrator;
use crate::{client::stage::on_own_servers, harness::Client};

const TOKENS: &str = "/_synapse/admin/v1/registration_tokens";

fn at(token: &str) -> String {
    format!("{TOKENS}/{token}")
}

async fn listed(boss: &Client, query: &str) -> Vec<String> {
    let answer = boss.get(&format!("{TOKENS}{query}")).await.ok();
    let tokens = answer["registration_tokens"].as_array().expect("a list");
    let names = tokens
        .iter()
        .map(|token| token["token"].as_str().expect("a token"));
    names.map(ToOwned::to_owned).collect()
}

/// Registers by a token; tells the status.
async fn register(nobody: &Client, name: &str, token: &str) -> u16 {
    let path = "/_matrix/client/v3/register";
    let body = json!({"username": name, "password": "correct horse"});
    let asked = nobody.post(path, body.clone()).await.body;
    let mut proven = body;
    proven["auth"] =
        json!({"type": "m.login.registration_token", "token": token, "session": asked["session"]});
    nobody.post(path, proven).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_changed_and_deleted() {
    let settings = [("PLAYHOUSE_REGISTRATION_TOKEN_REQUIRED", "true")];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let new = at("new");
        let made = boss
            .post(&new, json!({"token": "one.two", "uses_allowed": 1}))
            .await
            .ok();
        let expected = json!({
            "token": "one.two", "uses_allowed": 1, "pending": 0, "completed": 0, "expiry_time": null
        });
        assert_eq!(made, expected);
        let short = boss.post(&new, json!({"length": 5})).await.ok();
        let short = short["token"].as_str().expect("a token").to_owned();
        assert_eq!(short.len(), 5);
        let plain = boss.post(&new, json!({})).await.ok();
        assert_eq!(plain["token"].as_str().map(str::len), Some(16));
        assert_eq!(plain["uses_allowed"], Value::Null);
        for wrong in [
            json!({"token": "one.two"}),
            json!({"token": ""}),
            json!({"token": "a b"}),
            json!({"token": "x".repeat(65)}),
            json!({"length": 0}),
            json!({"length": 65}),
            json!({"expiry_time": 1}),
        ] {
            boss.post(&new, wrong).await.refused(400, "M_INVALID_PARAM");
        }
        boss.post(&new, json!({"uses_allowed": -1}))
            .await
            .refused(400, "M_BAD_JSON");
        assert_eq!(register(&server.client(), "anna", "one.two").await, 200);
        assert_eq!(register(&server.client(), "bert", "one.two").await, 401);
        let used = boss.get(&at("one.two")).await.ok();
        assert_eq!(
            (&used["completed"], &used["pending"]),
            (&json!(1), &json!(0))
        );
        assert_eq!(listed(&boss, "").await.len(), 3);
        assert_eq!(listed(&boss, "?valid=false").await, ["one.two"]);
        assert_eq!(listed(&boss, "?valid=true").await.len(), 2);
        let change = json!({"uses_allowed": null, "expiry_time": 99_999_999_999_999_u64});
        let changed = boss.put(&at("one.two"), change).await.ok();
        assert_eq!(changed["uses_allowed"], Value::Null);
        assert_eq!(changed["expiry_time"], 99_999_999_999_999_u64);
        let same = boss.put(&at("one.two"), json!({})).await.ok();
        assert_eq!(same, changed);
        assert_eq!(register(&server.client(), "bert", "one.two").await, 200);
        boss.delete(&at(&short)).await.ok();
        for unknown in [boss.get(&at(&short)).await, boss.delete(&at(&short)).await] {
            unknown.refused(404, "M_NOT_FOUND");
        }
        boss.put(&at(&short), json!({"uses_allowed": 3}))
            .await
            .refused(404, "M_NOT_FOUND");
        server.restart();
        let boss = boss.at(server.base());
        assert_eq!(boss.get(&at("one.two")).await.ok()["completed"], 2);
        let anna = boss.nobody();
        anna.get(TOKENS).await.refused(401, "M_MISSING_TOKEN");
    })
    .await;
}
