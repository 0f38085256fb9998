//! Small endpoints around accounts and this server: proofs of identity, standing of accounts, what is told of the server.

use serde_json::{Value, json};

use super::{
    props::user_path,
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::encode};

const USERINFO: &str = "/_matrix/federation/v1/openid/userinfo";

async fn token(client: &Client) -> Value {
    let path = user_path(&client.user_id, "openid/request_token");
    client.post(&path, json!({})).await.ok()
}

fn check(answer: &Value) -> String {
    let token = answer["access_token"].as_str().expect("a token");
    format!("{USERINFO}?access_token={}", encode(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn users_prove_who_they_are() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let answer = token(&anna).await;
        assert_eq!(answer["token_type"], "Bearer");
        assert_eq!(answer["expires_in"], 3600);
        let server_name = anna.user_id.split_once(':').expect("a server name").1;
        assert_eq!(answer["matrix_server_name"], server_name);
        server.restart();
        let (anna, nobody) = (anna.at(server.base()), server.client());
        let told = nobody.get(&check(&answer)).await.ok();
        assert_eq!(told, json!({"sub": anna.user_id}));
        assert_ne!(token(&anna).await, answer);
        nobody.get(USERINFO).await.refused(401, "M_MISSING_TOKEN");
        let wrong = format!("{}x", check(&answer));
        nobody.get(&wrong).await.refused(401, "M_UNKNOWN_TOKEN");
        let own = format!("{USERINFO}?access_token={}", anna.token.as_deref().expect("a token"));
        nobody.get(&own).await.refused(401, "M_UNKNOWN_TOKEN");
        let path = user_path("@other:playhouse.test", "openid/request_token");
        anna.post(&path, json!({})).await.refused(403, "M_FORBIDDEN");
        let auth = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": anna.user_id}, "password": "correct horse"});
        let path = "/_matrix/client/v3/account/deactivate";
        anna.post(path, json!({ "auth": auth })).await.ok();
        nobody.get(&check(&answer)).await.refused(401, "M_UNKNOWN_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_have_a_standing() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let path = "/_matrix/client/unstable/org.matrix.msc3720/account_status";
        let nobody = format!("@nobody:{}", anna.user_id.split_once(':').expect("a server name").1);
        let asked = json!({"user_ids": [bert.user_id, nobody, "@far:elsewhere.invalid"]});
        let told = anna.post(path, asked).await.ok();
        let statuses = json!({&*bert.user_id: {"exists": true, "deactivated": false}, &*nobody: {"exists": false}});
        assert_eq!(told, json!({"account_statuses": statuses, "failures": ["@far:elsewhere.invalid"]}));
        anna.post(path, json!({})).await.refused(400, "M_MISSING_PARAM");
        let path = format!("/_matrix/client/unstable/uk.tcpip.msc4133/profile/{}", encode(&bert.user_id));
        let name = user_path(&bert.user_id, "displayname").replace("/user/", "/profile/");
        bert.put(&name, json!({"displayname": "Bert"})).await.ok();
        assert_eq!(anna.get(&path).await.ok()["displayname"], "Bert");
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let path = format!("/_matrix/client/unstable/mutual_rooms?user_id={}", encode(&bert.user_id));
        assert_eq!(anna.get(&path).await.ok()["joined"], json!([room_id]));
        let path = format!("/_matrix/client/unstable/io.element.msc4502/rooms/{}/is_joined?mxid={}", encode(&room_id), encode(&bert.user_id));
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
        let whitelist = "/_synapse/client/v1/config/federation_whitelist";
        anna.get(whitelist).await.refused(404, "M_UNRECOGNIZED");
        let policy = "/.well-known/matrix/policy_server";
        stage.client().get(policy).await.refused(404, "M_NOT_FOUND");
        let support = "/.well-known/matrix/support";
        stage.client().get(support).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_is_told() {
    let key = "6yhHGKhCiXTSEN2ksjV7kX/N6rBQZ3Xb+M7LlC6NS+s";
    let settings = [
        ("PLAYHOUSE_SERVER_POLICY_SERVER_KEY", key),
        ("PLAYHOUSE_FEDERATION_TELL_CLIENTS", "true"),
        ("PLAYHOUSE_REGISTRATION_SHARED_SECRET", "secret"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let told = server
            .client()
            .get("/.well-known/matrix/policy_server")
            .await
            .ok();
        assert!(told["public_keys"]["ed25519"].is_string(), "{told}");
        let whitelist = "/_synapse/client/v1/config/federation_whitelist";
        let told = anna.get(whitelist).await.ok();
        assert_eq!(told, json!({"whitelist_enabled": false, "whitelist": []}));
    })
    .await;
}
