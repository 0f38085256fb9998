//! What browsers get: they decrypt it, and their push services read who sent it.

use aws_lc_rs::signature;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    browser::Browser,
    gateway::{PATIENT, TestGateway, write_ec_key},
    provider::{Provider, Said},
};

fn app(provider: &Provider, more: &str) -> String {
    let key = provider.path("vapid.pem");
    if !key.exists() {
        write_ec_key(&key);
    }
    format!(
        "{{ id = 'org.example.web', kind = 'webpush', vapid_private_key = '{}', vapid_contact = 'admin@example.org'{more} }}",
        key.display(),
    )
}

fn message(event_id: Option<&str>, browser: &Browser, data: Value) -> Value {
    json!({
        "event_id": event_id, "room_id": "!room", "counts": { "unread": 1 },
        "devices": [{ "app_id": "org.example.web", "pushkey": browser.pushkey(), "data": data }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reads_what_it_gets() {
    let provider = Provider::start().await;
    let apps = [app(&provider, ", allowed_endpoints = ['127.0.*']")];
    let gateway = TestGateway::start(&provider, &apps, "");
    let browser = Browser::new();
    let mut data = browser.data(&provider);
    data["default_payload"] = json!({ "account": "a" });
    data["only_last_per_room"] = json!(true);
    provider.will_say(Said::new(201, json!({})));
    let rejected = gateway.notify(message(Some("$one"), &browser, data)).await;
    assert!(rejected.is_empty());
    let seen = provider.wait_for(1).await.remove(0);
    assert_eq!(seen.path, "/subscription");
    assert_eq!(seen.header("content-encoding"), "aes128gcm");
    assert_eq!(seen.header("urgency"), "high");
    assert_eq!(seen.header("topic").len(), 32);
    let ttl: u64 = seen.header("ttl").parse().expect("seconds");
    assert!((890..=900).contains(&ttl), "{ttl}");
    assert_eq!(
        browser.open(&seen.body),
        json!({ "account": "a", "event_id": "$one", "room_id": "!room", "unread": 1 })
    );
    let vapid = seen.header("authorization").strip_prefix("vapid t=");
    let (token, key) = vapid
        .and_then(|vapid| vapid.split_once(", k="))
        .expect("a token");
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let key = URL_SAFE_NO_PAD.decode(key).expect("base64");
    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, key)
        .verify(
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).expect("base64"),
        )
        .expect("a signature");
    let (_, claims) = signed.split_once('.').expect("three parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["aud"], provider.url());
    assert_eq!(claims["sub"], "mailto:admin@example.org");
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_end() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[app(&provider, "")], PATIENT);
    for status in [404, 410] {
        let browser = Browser::new();
        provider.will_say(Said::new(status, json!({})));
        let notification = message(Some("$one"), &browser, browser.data(&provider));
        assert_eq!(gateway.notify(notification).await, [browser.pushkey()]);
    }
    let browser = Browser::new();
    provider.will_say(Said::new(413, json!({})));
    let notification = message(Some("$one"), &browser, browser.data(&provider));
    assert!(gateway.notify(notification).await.is_empty());
    let nowhere = message(Some("$one"), &browser, json!({ "auth": "x" }));
    assert_eq!(gateway.notify(nowhere).await, [browser.pushkey()]);
    let mut data = browser.data(&provider);
    data["events_only"] = json!(true);
    let asked = provider.seen().len();
    assert!(
        gateway
            .notify(message(None, &browser, data))
            .await
            .is_empty()
    );
    assert_eq!(provider.seen().len(), asked, "counts were not wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_places_are_not_asked() {
    let provider = Provider::start().await;
    let apps = [app(&provider, ", allowed_endpoints = ['push.example.org']")];
    let gateway = TestGateway::start(&provider, &apps, "");
    let browser = Browser::new();
    let notification = message(Some("$one"), &browser, browser.data(&provider));
    assert!(gateway.notify(notification).await.is_empty());
    gateway.configure(&provider, &[app(&provider, "")], "");
    gateway.hang_up();
    // Addresses of this machine's own network are not asked, whoever is allowed.
    let mut data = browser.data(&provider);
    data["endpoint"] = json!("https://10.0.0.1/x");
    assert!(
        gateway
            .notify(message(Some("$two"), &browser, data))
            .await
            .is_empty()
    );
    for number in 0.. {
        let event_id = format!("$more{number}");
        let notification = message(Some(&event_id), &browser, browser.data(&provider));
        assert!(gateway.notify(notification).await.is_empty());
        if !provider.seen().is_empty() {
            break;
        }
        assert!(number < 6_000, "the configuration was not read again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
