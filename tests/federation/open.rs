//! What servers ask without signing.

use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{PublicKeyMap, PublicKeySet, verify_json},
};
use serde_json::{Value, json};

use crate::{
    client::{
        props::text,
        stage::{on_each_engine, on_own_servers},
    },
    harness::{client::encode, server::SERVER_NAME},
};

/// The keys that an answer tells, by their IDs.
fn keys_in(published: &Value) -> PublicKeySet {
    let keys = published["verify_keys"].as_object().expect("keys");
    keys.iter()
        .map(|(key_id, key)| {
            let key = Base64::parse(text(&key["key"])).expect("base64");
            (key_id.clone(), key)
        })
        .collect()
}

/// Fails the test unless the keys are this server's and signed by themselves.
fn check_own(published: &Value) {
    assert_eq!(published["server_name"], SERVER_NAME);
    assert!(published["valid_until_ts"].as_u64() > Some(1_700_000_000_000));
    assert!(published["old_verify_keys"].is_object());
    let keys = PublicKeyMap::from([(SERVER_NAME.to_owned(), keys_in(published))]);
    let object: CanonicalJsonObject =
        serde_json::from_value(published.clone()).expect("canonical JSON");
    verify_json(&keys, &object).expect("signed by the server itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_tells_what_it_is_and_its_keys() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let version = client.get("/_matrix/federation/v1/version").await.ok();
        assert_eq!(version["server"]["name"], "Playhouse");
        assert!(!text(&version["server"]["version"]).is_empty());
        for path in [
            "/_matrix/key/v2/server",
            "/_matrix/key/v2/server/ed25519:old",
        ] {
            check_own(&client.get(path).await.ok());
        }
        let path = "/.well-known/matrix/server";
        client.get(path).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notary_vouches_for_itself_and_is_silent_of_strangers() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let query = "/_matrix/key/v2/query";
        for path in [
            format!("{query}/{SERVER_NAME}"),
            format!("{query}/{SERVER_NAME}/ed25519:old?minimum_valid_until_ts=5"),
        ] {
            let answer = client.get(&path).await.ok();
            check_own(&answer["server_keys"][0]);
        }
        let both = json!({"server_keys": {SERVER_NAME: {}, "nobody.invalid": {"ed25519:1": {}}}});
        let answer = client.post(query, both).await.ok();
        assert_eq!(answer["server_keys"].as_array().map(Vec::len), Some(1));
        check_own(&answer["server_keys"][0]);
        // Of too many, some are answered for.
        let many = (1..=120).map(|port| (format!("127.0.0.1:{port}"), json!({})));
        let many: serde_json::Map<_, _> = many.collect();
        let answer = client
            .post(query, json!({ "server_keys": many }))
            .await
            .ok();
        assert_eq!(answer["server_keys"], json!([]));
        let nonsense = client.get(&format!("{query}/no%20name")).await;
        nonsense.refused(400, "M_INVALID_PARAM");
        client
            .post(query, json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openid_token_tells_whose_it_is() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let path = format!(
            "/_matrix/client/v3/user/{}/openid/request_token",
            encode(&anna.user_id)
        );
        let token = anna.post(&path, json!({})).await.ok();
        let path = "/_matrix/federation/v1/openid/userinfo";
        let nobody = stage.client();
        let told = nobody
            .get(&format!(
                "{path}?access_token={}",
                encode(&text(&token["access_token"]))
            ))
            .await
            .ok();
        assert_eq!(told["sub"], anna.user_id);
        nobody.get(path).await.refused(401, "M_MISSING_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_server_is_told_to_be() {
    let environment = [("PLAYHOUSE_WELL_KNOWN_SERVER", "matrix.playhouse.test:443")];
    on_own_servers(&environment, async |server| {
        let told = server.client().get("/.well-known/matrix/server").await.ok();
        assert_eq!(told, json!({"m.server": "matrix.playhouse.test:443"}));
    })
    .await;
}
