//! Replacing cross-signing keys in a session that began by OAuth: the user allows it on the account's pages.

use serde_json::json;

use super::crypto::Identity;
use crate::{
    client::{
        browser::Browser,
        oauth::{log_in, with_token},
    },
    harness::TestServer,
};

/// How the address begins at which a node of the tests listens.
const LOOPBACK: &str = "http://127.0.0.1:";

const SIGNING: &str = "/_matrix/client/v3/keys/device_signing/upload";

#[tokio::test(flavor = "multi_thread")]
async fn the_user_allows_it_on_a_page() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let browser = Browser::new(&alice);
    let (_, tokens) = log_in(&alice, &browser, "DEVICE1234").await;
    let phone = with_token(&alice, &tokens);
    let new = || Identity::new().upload(&alice.user_id);
    phone.post(SIGNING, new()).await.ok();
    let second = new();
    let asked = phone.post(SIGNING, second.clone()).await;
    assert_eq!(asked.status, 401, "{}", asked.body);
    let flows = json!([{"stages": ["m.oauth"]}, {"stages": ["org.matrix.cross_signing_reset"]}]);
    assert_eq!(asked.body["flows"], flows);
    let url = asked.body["params"]["m.oauth"]["url"]
        .as_str()
        .expect("an address");
    // Nobody has told the server its public address: it tells that of the node that was asked.
    let (_, path) = url.rsplit_once(LOOPBACK).expect("an address of ours");
    let path = path.trim_start_matches(|byte: char| byte.is_ascii_digit());
    let mut proven = second;
    proven["auth"] = json!({"session": asked.body["session"]});
    assert_eq!(phone.post(SIGNING, proven.clone()).await.status, 401);
    let page = browser.open(path).await;
    assert_eq!(browser.submit(&page, &[]).await.status, 200);
    phone.post(SIGNING, proven).await.ok();
    // Once only.
    assert_eq!(phone.post(SIGNING, new()).await.status, 401);
    // A session that began with the password proves it by the password.
    let asked = alice.post(SIGNING, new()).await;
    assert_eq!(
        asked.body["flows"][0]["stages"],
        json!(["m.login.password"])
    );
}
