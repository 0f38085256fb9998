//! Logging in by tokens: those that a session gives out, and those that another system signs.

use serde_json::{Value, json};

use super::{
    props::text,
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{Client, administrator, client::Answer};

const GET_TOKEN: &str = "/_matrix/client/v1/login/get_token";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

/// Asks for a login token: the 401 first, then with the password.
async fn login_token(client: &Client, path: &str) -> String {
    let asked = client.post(path, json!({})).await;
    assert_eq!(asked.status, 401, "{}", asked.body);
    assert_eq!(
        asked.body["flows"][0]["stages"],
        json!(["m.login.password"])
    );
    let auth = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": client.user_id}, "password": "correct horse",
        "session": asked.body["session"],
    });
    let given = client.post(path, json!({ "auth": auth })).await.ok();
    assert_eq!(given["expires_in_ms"], 120_000);
    text(&given["login_token"])
}

async fn log_in(client: &Client, kind: &str, token: &str) -> Answer {
    let body = json!({"type": kind, "token": token});
    client.nobody().post(LOGIN, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_token_logs_in_once() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let capabilities = anna.get("/_matrix/client/v3/capabilities").await.ok();
        let capability = &capabilities["capabilities"]["m.get_login_token"];
        assert_eq!(capability["enabled"], true);
        let flows = anna.get(LOGIN).await.ok();
        let flows = flows["flows"].as_array().expect("flows").clone();
        let flow = json!({"type": "m.login.token", "get_login_token": true});
        assert!(flows.contains(&flow), "{flows:?}");
        for path in [
            GET_TOKEN,
            "/_matrix/client/unstable/org.matrix.msc3882/login/token",
        ] {
            let token = login_token(&anna, path).await;
            let session = log_in(&anna, "m.login.token", &token).await.ok();
            assert_eq!(session["user_id"], *anna.user_id);
            let phone = anna.nobody().with_session(&session);
            assert_ne!(phone.device_id, anna.device_id);
            phone.get(WHOAMI).await.ok();
            log_in(&anna, "m.login.token", &token)
                .await
                .refused(403, "M_FORBIDDEN");
        }
        for bad in ["", "nonsense", anna.token.as_deref().expect("a token")] {
            log_in(&anna, "m.login.token", bad)
                .await
                .refused(403, "M_FORBIDDEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_token_is_used_once_over_a_restart() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let used = login_token(&anna, GET_TOKEN).await;
        let fresh = login_token(&anna, GET_TOKEN).await;
        log_in(&anna, "m.login.token", &used).await.ok();
        server.restart();
        let anna = anna.at(server.client().base());
        log_in(&anna, "m.login.token", &used)
            .await
            .refused(403, "M_FORBIDDEN");
        log_in(&anna, "m.login.token", &fresh).await.ok();
    })
    .await;
}

fn signed(claims: &Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    let header = jsonwebtoken::Header::default();
    jsonwebtoken::encode(&header, claims, &key).expect("a token can be signed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_token_of_another_system_logs_in() {
    let settings = [
        ("PLAYHOUSE_JWT_ENABLED", "true"),
        ("PLAYHOUSE_JWT_SECRET", "a secret of two systems"),
        ("PLAYHOUSE_JWT_ISSUER", "https://id.test"),
        ("PLAYHOUSE_JWT_DISPLAY_NAME_CLAIM", "name"),
    ];
    on_own_servers(&settings, async |server| {
        let nobody = server.client();
        let flows = nobody.get(LOGIN).await.ok();
        let flows = flows["flows"].as_array().expect("flows").clone();
        assert!(flows.contains(&json!({"type": "org.matrix.login.jwt"})));
        let claims = json!({"sub": "Nora", "name": "Nora N.", "iss": "https://id.test", "exp": 4_000_000_000u64});
        let token = signed(&claims, "a secret of two systems");
        for _ in 0..2 {
            let session = log_in(&nobody, "org.matrix.login.jwt", &token).await.ok();
            assert_eq!(session["user_id"], "@nora:playhouse.test");
        }
        let profile = nobody.get("/_matrix/client/v3/profile/@nora:playhouse.test").await.ok();
        assert_eq!(profile["displayname"], "Nora N.");
        let mut late = claims.clone();
        late["exp"] = json!(1_000);
        for bad in [
            signed(&claims, "another secret"),
            signed(&late, "a secret of two systems"),
            signed(&json!({"iss": "https://id.test"}), "a secret of two systems"),
            "nonsense".to_owned(),
        ] {
            log_in(&nobody, "org.matrix.login.jwt", &bad)
                .await
                .refused(403, "M_FORBIDDEN");
        }
        let body = json!({"type": "org.matrix.login.jwt"});
        nobody.post(LOGIN, body).await.refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_into_the_account_of_server_notices() {
    let settings = [
        ("PLAYHOUSE_JWT_ENABLED", "true"),
        ("PLAYHOUSE_JWT_SECRET", "a secret of two systems"),
        ("PLAYHOUSE_SERVER_NOTICES_LOCALPART", "notices"),
    ];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let claims = json!({"sub": "Notices", "exp": 4_000_000_000u64});
        let token = signed(&claims, "a secret of two systems");
        let refused = async || {
            let answer = log_in(&boss, "org.matrix.login.jwt", &token).await;
            answer.refused(403, "M_FORBIDDEN");
        };
        // Neither before there is an account nor when there is one.
        refused().await;
        let anna = server.register("anna").await;
        let notice = json!({"user_id": anna.user_id, "content": {"msgtype": "m.text", "body": "mind the gap"}});
        let path = "/_synapse/admin/v1/send_server_notice";
        boss.post(path, notice).await.ok();
        refused().await;
        // A password does not help either.
        let account = "/_synapse/admin/v2/users/@notices:playhouse.test";
        let wish = json!({"password": "correct horse"});
        boss.put(account, wish).await.ok();
        let body = json!({
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": "notices"}, "password": "correct horse",
        });
        let answer = server.client().post(LOGIN, body).await;
        answer.refused(403, "M_FORBIDDEN");
    })
    .await;
}
