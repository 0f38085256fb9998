//! What browsers get: they decrypt it, and their push services read who sent it.

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree},
    hkdf::{HKDF_SHA256, KeyType, Prk, Salt},
    signature,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    gateway::{TestGateway, write_ec_key},
    provider::{Provider, Said},
};

/// A browser with a subscription.
struct Browser {
    key: PrivateKey,
    public_key: Vec<u8>,
    secret: [u8; 16],
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &Prk, info: &[&[u8]], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    let okm = prk.expand(info, Length(length)).expect("a length");
    okm.fill(&mut out).expect("a length");
    out
}

impl Browser {
    fn new() -> Self {
        let key = PrivateKey::generate(&ECDH_P256).expect("a key");
        let public_key = key.compute_public_key().expect("a key");
        Self {
            public_key: public_key.as_ref().to_vec(),
            key,
            secret: [9; 16],
        }
    }

    fn pushkey(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public_key)
    }

    fn data(&self, provider: &Provider) -> Value {
        json!({
            "endpoint": format!("{}/subscription", provider.url()),
            "auth": URL_SAFE_NO_PAD.encode(self.secret),
        })
    }

    /// RFC 8291, from the other side.
    fn open(&self, body: &[u8]) -> Value {
        let (salt, rest) = body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!(size, 4_096_u32.to_be_bytes());
        let (length, rest) = rest.split_at(1);
        let (theirs, sealed) = rest.split_at(usize::from(length[0]));
        let peer = UnparsedPublicKey::new(&ECDH_P256, theirs);
        let keying = agree(&self.key, peer, "no key", |shared| {
            let prk = Salt::new(HKDF_SHA256, &self.secret).extract(shared);
            let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public_key, theirs];
            Ok(expand(&prk, &info, 32))
        });
        let prk = Salt::new(HKDF_SHA256, salt).extract(&keying.expect("a key"));
        let key = expand(&prk, &[b"Content-Encoding: aes128gcm\0"], 16);
        let nonce = expand(&prk, &[b"Content-Encoding: nonce\0"], 12);
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("a key");
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("a nonce");
        let opened = LessSafeKey::new(key)
            .open_in_place(nonce, Aad::empty(), &mut sealed)
            .expect("it is for this browser");
        let (delimiter, message) = opened.split_last().expect("a delimiter");
        assert_eq!(*delimiter, 2);
        serde_json::from_slice(message).expect("JSON")
    }
}

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
    let gateway = TestGateway::start(&provider, &[app(&provider, "")], "");
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
        assert!(number < 500, "the configuration was not read again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
