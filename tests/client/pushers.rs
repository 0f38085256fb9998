//! Pushers: setting, listing and removing them, and with what they end.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    browser::Browser,
    props::texts,
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::Client;

const SET: &str = "/_matrix/client/v3/pushers/set";

fn pusher(pushkey: &str) -> Value {
    json!({
        "app_id": "org.example.app", "pushkey": pushkey, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "profile_tag": "x", "lang": "en", "data": {"url": "https://push.example.org/_matrix/push/v1/notify", "format": "event_id_only"}
    })
}

async fn keys(user: &Client) -> Vec<String> {
    let answer = user.get("/_matrix/client/v3/pushers").await.ok();
    texts(&answer["pushers"], "/pushkey")
}

#[tokio::test(flavor = "multi_thread")]
async fn pushers_are_set_listed_and_removed() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let [one, two] = [fresh("key"), fresh("key")];
        assert_eq!(keys(&anna).await, [""; 0]);
        assert_eq!(anna.post(SET, pusher(&one)).await.ok(), json!({}));
        anna.post(SET, pusher(&two)).await.ok();
        let answer = anna.get("/_matrix/client/v3/pushers").await.ok();
        let mut told = pusher(&one);
        told["org.matrix.msc3881.enabled"] = json!(true);
        told["org.matrix.msc3881.device_id"] = json!(anna.device_id);
        assert_eq!(answer["pushers"][0], told);
        for url in [
            "http://push.example.org/_matrix/push/v1/notify",
            "https://10.0.0.1/_matrix/push/v1/notify",
        ] {
            let mut refused = pusher("x");
            refused["data"]["url"] = json!(url);
            anna.post(SET, refused)
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        let gone = json!({"app_id": "org.example.app", "pushkey": one, "kind": null});
        anna.post(SET, gone.clone()).await.ok();
        anna.post(SET, gone).await.ok();
        assert_eq!(keys(&anna).await, [two]);
        let mut wrong = pusher("x");
        wrong["data"] = json!({"url": "https://push.example.org/elsewhere"});
        anna.post(SET, wrong).await.refused(400, "M_INVALID_PARAM");
        let missing = json!({"app_id": "a", "pushkey": "b", "kind": "http"});
        anna.post(SET, missing)
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_user_unless_it_is_appended() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let key = fresh("key");
        anna.post(SET, pusher(&key)).await.ok();
        let mut appended = pusher(&key);
        appended["append"] = json!(true);
        bert.post(SET, appended).await.ok();
        assert_eq!(keys(&anna).await, [key.as_str()]);
        carl.post(SET, pusher(&key)).await.ok();
        assert_eq!(keys(&anna).await, [""; 0]);
        assert_eq!(keys(&bert).await, [""; 0]);
        assert_eq!(keys(&carl).await, [key]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushers_outlive_a_restart_and_end_with_their_session() {
    on_own_servers(&[], async |server| {
        let anna = server.register(&fresh("anna")).await;
        let phone = anna.login_again().await;
        anna.post(SET, pusher("desk")).await.ok();
        phone.post(SET, pusher("phone")).await.ok();
        server.restart();
        let anna = anna.at(server.base());
        let phone = phone.at(server.base());
        assert_eq!(keys(&anna).await, ["desk", "phone"]);
        phone
            .post("/_matrix/client/v3/logout", json!({}))
            .await
            .ok();
        assert_eq!(keys(&anna).await, ["desk"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_are_ended_by_a_link() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let address = format!("{}@example.org", fresh("mails"));
        let mails = json!({
            "app_id": "m.email", "pushkey": address, "kind": "email", "app_display_name": "Mail", "device_display_name": address,
            "lang": "en", "data": {}
        });
        anna.post(SET, mails.clone()).await.ok();
        let browser = Browser::new(&anna);
        let page = browser.open("/oauth2/account").await;
        let account = browser.sign_in(&page, &anna.user_id).await;
        let (_, link) = account.html.split_once("token=").expect("a link");
        let token = link.split('"').next().expect("a token");
        for path in ["/_synapse/client/unsubscribe", "/_matrix/client/unstable/pushers/remove"] {
            anna.post(SET, mails.clone()).await.ok();
            assert_eq!(keys(&anna).await, [address.as_str()]);
            let forged = browser.open(&format!("{path}?token=x{token}")).await;
            assert_eq!(forged.status, 404);
            let path = format!("{path}?token={token}");
            let page = browser.open(&path).await;
            assert!(page.html.contains(&address), "{}", page.html);
            // Looking ends nothing.
            assert_eq!(keys(&anna).await, [address.as_str()]);
            browser.submit(&page, &[]).await;
            assert_eq!(keys(&anna).await, [""; 0]);
            // With one click of a mail program.
            anna.post(SET, mails.clone()).await.ok();
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let body = b"List-Unsubscribe=One-Click".to_vec();
            let done = anna.nobody().with_headers(Method::POST, &path, &headers, body).await;
            assert_eq!((done.status, keys(&anna).await), (200, Vec::new()));
        }
    })
    .await;
}
