//! What Apple gets, and what is made of its answers.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    gateway::{PATIENT, TestGateway, apns_app, message},
    provider::{Provider, Said},
};

/// "Why on earth did you decode this?" in base64, as the specification has it.
const PUSHKEY: &str = "V2h5IG9uIGVhcnRoIGRpZCB5b3UgZGVjb2RlIHRoaXM/";
const DEVICE: &str = "57687920 6f6e20 6561727468 20646964 20796f75 206465636f6465 20746869733f";

fn decoded(part: &str) -> Value {
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_signed_over_http2() {
    let provider = Provider::start().await;
    let app = apns_app(&provider, ", collapse = 'room', mutable_content = true");
    let gateway = TestGateway::start(&provider, &[app], "ttl_s = 600");
    assert!(gateway.notify(message("$one", PUSHKEY)).await.is_empty());
    let seen = provider.wait_for(1).await.remove(0);
    assert_eq!(seen.version, "HTTP/2.0");
    assert_eq!(seen.path, format!("/3/device/{}", DEVICE.replace(' ', "")));
    assert_eq!(seen.header("apns-topic"), "org.example");
    assert_eq!(seen.header("apns-push-type"), "alert");
    assert_eq!(seen.header("apns-priority"), "10");
    assert_eq!(seen.header("apns-id").len(), 36);
    assert_eq!(seen.header("apns-collapse-id").len(), 32);
    let expiration: u64 = seen.header("apns-expiration").parse().expect("a time");
    let token = seen.header("authorization").strip_prefix("Bearer ");
    let token = token.expect("a token").to_owned();
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    assert_eq!(decoded(header), json!({ "alg": "ES256", "kid": "KEY" }));
    let claims = decoded(claims);
    assert_eq!(claims["iss"], "TEAM");
    let issued = claims["iat"].as_u64().expect("a time");
    assert!((issued + 590..=issued + 610).contains(&expiration));
    let pem = std::fs::read_to_string(provider.path("key.p8")).expect("a key");
    let key = rcgen::KeyPair::from_pem(&pem).expect("a key");
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key_raw())
        .verify(
            signed.as_bytes(),
            &URL_SAFE_NO_PAD.decode(signature).expect("base64"),
        )
        .expect("a signature");
    assert_eq!(
        seen.json(),
        json!({
            "room_id": "!room:example.org", "event_id": "$one",
            "aps": {
                "alert": {
                    "loc-key": "MSG_FROM_USER_IN_ROOM_WITH_CONTENT",
                    "loc-args": ["Major Tom", "Mission Control", "floating"],
                },
                "badge": 2, "mutable-content": 1,
            },
        })
    );
    gateway.notify(message("$two", PUSHKEY)).await;
    let again = provider.wait_for(2).await.remove(1);
    let authorization = again.header("authorization");
    assert_eq!(authorization, format!("Bearer {token}"), "signed once");
    assert_ne!(again.header("apns-id"), seen.header("apns-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_opens_the_door_too() {
    let provider = Provider::start_for_certified().await;
    let certified = format!(
        "{{ id = 'org.example.ios', kind = 'apns', url = '{}', certificate = '{}', push_type = 'voip', topic = 'org.example', hex_tokens = true }}",
        provider.url(),
        provider.path("client.pem").display(),
    );
    let gateway = TestGateway::start(&provider, &[certified], "");
    let mut call = message("$call", "ABCDEF0123");
    call["type"] = json!("m.call.invite");
    call["content"] = json!({ "lifetime": 60_000, "offer": { "sdp": "m=audio" } });
    assert!(gateway.notify(call).await.is_empty());
    let seen = provider.wait_for(1).await.remove(0);
    assert_eq!(seen.path, "/3/device/abcdef0123");
    assert_eq!(seen.header("apns-topic"), "org.example.voip");
    assert_eq!(seen.header("apns-push-type"), "voip");
    assert_eq!(seen.header("authorization"), "");
    let alert = &seen.json()["aps"]["alert"];
    assert_eq!(alert["loc-key"], "VOICE_CALL_FROM_USER");
    // Counts must not let the phone ring.
    let counts = json!({
        "counts": { "unread": 1 },
        "devices": [{ "app_id": "org.example.ios", "pushkey": "ABCDEF0123" }],
    });
    assert!(gateway.notify(counts).await.is_empty());
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_dead_tokens_are_rejected() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[apns_app(&provider, "")], PATIENT);
    let cases = [
        (410, "Unregistered", true),
        (400, "BadDeviceToken", true),
        (400, "DeviceTokenNotForTopic", true),
        (400, "TopicDisallowed", false),
        (400, "BadCollapseId", false),
        (413, "PayloadTooLarge", false),
    ];
    for (number, (status, reason, is_dead)) in cases.into_iter().enumerate() {
        provider.will_say(Said::new(status, json!({ "reason": reason })));
        let pushkey = format!("AAAA{number}AAA");
        let rejected = gateway.notify(message("$one", &pushkey)).await;
        let wanted = if is_dead { vec![pushkey] } else { Vec::new() };
        assert_eq!(rejected, wanted, "{status} {reason}");
    }
    assert_eq!(gateway.notify(message("$one", "§")).await, ["§"]);
    let mut malformed = message("$two", PUSHKEY);
    malformed["devices"][0]["data"] = json!({ "default_payload": "x" });
    assert_eq!(gateway.notify(malformed).await, [PUSHKEY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_ids_where_that_is_wanted() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, ", event_id_only = true")];
    let gateway = TestGateway::start(&provider, &apps, "");
    let mut notification = message("$one", PUSHKEY);
    notification["devices"][0]["data"] =
        json!({ "default_payload": { "aps": { "content-available": 1 } } });
    gateway.notify(notification).await;
    let seen = provider.wait_for(1).await.remove(0);
    assert_eq!(
        seen.json(),
        json!({
            "aps": { "content-available": 1 },
            "event_id": "$one", "room_id": "!room:example.org", "unread_count": 2,
        })
    );
    assert_eq!(seen.header("apns-push-type"), "background");
    assert_eq!(seen.header("apns-priority"), "5");
    let mut bytes = Vec::new();
    read_all(&gateway.path("data"), &mut bytes);
    let has = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
    assert!(has(b"CREATE TABLE"), "the log is among them");
    assert!(
        !has(b"Major Tom") && !has(b"floating"),
        "it was written down"
    );
}

/// All that is in a folder.
fn read_all(folder: &std::path::Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            read_all(&path, bytes);
        } else {
            // A file of SQLite's may go while it is looked at.
            bytes.extend(std::fs::read(path).unwrap_or_default());
        }
    }
}
