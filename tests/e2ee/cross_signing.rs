//! Cross-signing keys and signatures.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    crypto::{Identity, SigningKey, publish, query},
    device_lists::settled,
};
use crate::harness::{Client, TestServer};

const SIGNING: &str = "/_matrix/client/v3/keys/device_signing/upload";
const SIGNATURES: &str = "/_matrix/client/v3/keys/signatures/upload";

async fn with_identity(client: &Client) -> Identity {
    let identity = Identity::new();
    client
        .post(SIGNING, identity.upload(&client.user_id))
        .await
        .ok();
    identity
}

fn proof(client: &Client, session: &Value) -> Value {
    json!({
        "type": "m.login.password", "session": session, "password": "correct horse",
        "identifier": { "type": "m.id.user", "user": client.user_id },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn first_keys_need_no_proof_and_others_do() {
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let mut without_master = Identity::new().upload(&alice.user_id);
    without_master
        .as_object_mut()
        .expect("an object")
        .remove("master_key");
    alice
        .post(SIGNING, without_master)
        .await
        .refused(400, "M_MISSING_PARAM");
    let first = with_identity(&alice).await;
    alice.post(SIGNING, first.upload(&alice.user_id)).await.ok();
    let second = Identity::new().upload(&alice.user_id);
    let asked = alice.post(SIGNING, second.clone()).await;
    assert_eq!(asked.status, 401, "{}", asked.body);
    assert_eq!(
        asked.body["flows"][0]["stages"],
        json!(["m.login.password"])
    );
    let told = query(&bob, &[&alice.user_id]).await;
    let public = |told: &Value| told["master_keys"][&alice.user_id]["keys"].clone();
    assert_eq!(
        public(&told),
        json!({ format!("ed25519:{}", first.master.public): first.master.public })
    );
    let mut proven = second.clone();
    proven["auth"] = proof(&alice, &asked.body["session"]);
    // The old name of the endpoint, which clients still use.
    let old = "/_matrix/client/unstable/keys/device_signing/upload";
    alice.post(old, proven).await.ok();
    server.restart();
    let (alice, bob) = (alice.at(server.base()), bob.at(server.base()));
    let told = query(&bob, &[&alice.user_id]).await;
    assert_eq!(public(&told), second["master_key"]["keys"]);
    assert!(told["user_signing_keys"].get(&alice.user_id).is_none());
    let own = query(&alice, &[&alice.user_id]).await;
    assert_eq!(
        own["user_signing_keys"][&alice.user_id]["keys"],
        second["user_signing_key"]["keys"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_what_they_should_be_are_refused() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let identity = Identity::new();
    let good = identity.upload(&alice.user_id);
    let refused = async |change: &dyn Fn(&mut Value), status: u16, errcode: &str| {
        let mut bad = good.clone();
        change(&mut bad);
        alice.post(SIGNING, bad).await.refused(status, errcode);
    };
    let stranger = SigningKey::new();
    let invalid = "M_INVALID_PARAM";
    refused(
        &|bad| bad["master_key"]["user_id"] = "@eve:playhouse.test".into(),
        400,
        invalid,
    )
    .await;
    refused(
        &|bad| bad["master_key"]["usage"] = json!(["self_signing"]),
        400,
        invalid,
    )
    .await;
    refused(&|bad| bad["master_key"]["keys"] = json!({}), 400, invalid).await;
    refused(
        &|bad| bad["master_key"]["keys"] = json!({ "ed25519:short": "short" }),
        400,
        invalid,
    )
    .await;
    refused(&|bad| bad["master_key"] = json!("key"), 400, "M_BAD_JSON").await;
    refused(
        &|bad| {
            bad["self_signing_key"] = stranger.published(&alice.user_id, "self_signing");
            stranger.sign(&mut bad["self_signing_key"], &alice.user_id);
        },
        400,
        "M_INVALID_SIGNATURE",
    )
    .await;
    refused(
        &|bad| bad["user_signing_key"]["extra"] = json!("not signed"),
        400,
        "M_INVALID_SIGNATURE",
    )
    .await;
    let told = query(&alice, &[&alice.user_id]).await;
    assert_eq!(told["master_keys"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_checked_and_seen_by_whom_they_concern() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let other = alice.login_again().await;
    let bob = server.register("bob").await;
    let room_id = alice.create_room(json!({ "preset": "public_chat" })).await;
    bob.join(&room_id).await;
    let (device, keys) = publish(&alice).await;
    let (mine, his) = (with_identity(&alice).await, with_identity(&bob).await);
    let since = next_batch(&other.sync(None, "").await);
    let bobs = settled(&bob).await;

    let mut signed_device = keys.clone();
    mine.self_signing.sign(&mut signed_device, &alice.user_id);
    let mut signed_master = mine.master.published(&alice.user_id, "master");
    device.sign_as(&mut signed_master, &alice.user_id, &alice.device_id);
    let mut signed_bob = his.master.published(&bob.user_id, "master");
    mine.user_signing.sign(&mut signed_bob, &alice.user_id);
    let body = json!({
        &alice.user_id: { &alice.device_id: signed_device, &mine.master.public: signed_master },
        &bob.user_id: { &his.master.public: signed_bob },
    });
    let answer = alice.post(SIGNATURES, body.clone()).await.ok();
    assert_eq!(answer, json!({ "failures": {} }));

    let by = |told: &Value, path: &str, key: &str| {
        told.pointer(path)
            .and_then(|signatures| {
                signatures
                    .get(&alice.user_id)?
                    .get(format!("ed25519:{key}"))
            })
            .is_some()
    };
    let on_device = format!(
        "/device_keys/{}/{}/signatures",
        alice.user_id, alice.device_id
    );
    let on_master = format!("/master_keys/{}/signatures", alice.user_id);
    let on_bob = format!("/master_keys/{}/signatures", bob.user_id);
    for reader in [&alice, &other, &bob] {
        let told = query(reader, &[&alice.user_id, &bob.user_id]).await;
        assert!(by(&told, &on_device, &mine.self_signing.public), "{told}");
        assert!(by(&told, &on_device, &alice.device_id), "{told}");
        assert!(by(&told, &on_master, &alice.device_id), "{told}");
        let is_alice = reader.user_id == alice.user_id;
        assert_eq!(
            by(&told, &on_bob, &mine.user_signing.public),
            is_alice,
            "{told}"
        );
    }
    let changed = json!([alice.user_id, bob.user_id]);
    comes_to_tell(&other, &since, &changed).await;
    comes_to_tell(&bob, &bobs, &json!([alice.user_id])).await;

    // A device that goes takes the signatures on it along.
    let path = format!("/_matrix/client/v3/devices/{}", alice.device_id);
    let asked = other
        .request(reqwest::Method::DELETE, &path, Some(json!({})))
        .await;
    let auth = json!({ "auth": proof(&alice, &asked.body["session"]) });
    other
        .request(reqwest::Method::DELETE, &path, Some(auth))
        .await
        .ok();
    let told = query(&bob, &[&alice.user_id]).await;
    assert_eq!(told["device_keys"][&alice.user_id], json!({}));
    let answer = other.post(SIGNATURES, body).await.ok();
    let failures = &answer["failures"][&alice.user_id];
    assert_eq!(failures[&alice.device_id]["errcode"], "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_signatures_are_named_one_by_one() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let (_, keys) = publish(&alice).await;
    let (mine, his) = (with_identity(&alice).await, with_identity(&bob).await);
    let mut by_stranger = keys.clone();
    SigningKey::new().sign_as(&mut by_stranger, &alice.user_id, &mine.self_signing.public);
    let mut altered = his.master.published(&bob.user_id, "master");
    altered["extra"] = json!(1);
    mine.user_signing.sign(&mut altered, &alice.user_id);
    let body = json!({
        &alice.user_id: { &alice.device_id: by_stranger, "NOBODY": keys },
        &bob.user_id: { &his.master.public: altered, "nothing": {} },
        "@nobody:playhouse.test": { "key": {} },
    });
    let answer = alice.post(SIGNATURES, body).await.ok();
    let code = |user: &str, key: &str| answer["failures"][user][key]["errcode"].clone();
    assert_eq!(
        code(&alice.user_id, &alice.device_id),
        "M_INVALID_SIGNATURE"
    );
    assert_eq!(code(&alice.user_id, "NOBODY"), "M_NOT_FOUND");
    assert_eq!(code(&bob.user_id, &his.master.public), "M_INVALID_PARAM");
    assert_eq!(code(&bob.user_id, "nothing"), "M_NOT_FOUND");
    assert_eq!(code("@nobody:playhouse.test", "key"), "M_NOT_FOUND");
    let told = query(&alice, &["@nobody:playhouse.test", "@far:elsewhere.test"]).await;
    assert_eq!(told["device_keys"], json!({ "@nobody:playhouse.test": {} }));
    assert!(told["failures"]["elsewhere.test"].is_object());
}

/// Syncs from the same token until the answer says whose keys have changed: what belongs together may be announced one after the other.
async fn comes_to_tell(client: &Client, since: &str, changed: &Value) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.sync(Some(since), "").await;
        let told = &answer["device_lists"]["changed"];
        if told == changed {
            return;
        }
        assert!(Instant::now() < deadline, "{told} instead of {changed}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn next_batch(answer: &Value) -> String {
    answer["next_batch"].as_str().expect("a token").to_owned()
}
