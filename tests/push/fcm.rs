//! What Google gets, and what is made of its answers.

use serde_json::{Value, json};

use super::{
    gateway::TestGateway,
    provider::{Provider, Said},
};

const TOKEN_PATH: &str = "/token";

fn app(provider: &Provider) -> String {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let account = json!({
        "type": "service_account", "client_email": "push@example.org", "private_key_id": "k1",
        "private_key": key.serialize_pem(), "token_uri": format!("{}{TOKEN_PATH}", provider.url()),
    });
    let path = provider.path("account.json");
    std::fs::write(&path, account.to_string()).expect("a file");
    format!(
        "{{ id = 'org.example.*', kind = 'fcm', url = '{}', project_id = 'project', service_account_file = '{}', collapse = 'room', options = {{ apns = {{ payload = {{ x = 1 }} }} }} }}",
        provider.url(),
        path.display(),
    )
}

fn message(event_id: &str, pushkey: &str) -> Value {
    json!({
        "event_id": event_id, "room_id": "!room", "type": "m.room.message", "prio": "low",
        "content": { "msgtype": "m.text", "body": "floating" }, "counts": { "unread": 2 },
        "devices": [{ "app_id": "org.example.android", "pushkey": pushkey, "data": { "default_payload": { "cs": "s" } } }],
    })
}

fn token(name: &str) -> Said {
    Said::new(
        200,
        json!({ "access_token": name, "expires_in": 3_600, "token_type": "Bearer" }),
    )
}

fn error(status: u16, code: &str) -> Said {
    let details = json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }]);
    Said::new(
        status,
        json!({ "error": { "code": status, "status": "X", "details": details } }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_by_a_token_of_the_service_account() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[app(&provider)], "ttl_low_s = 100");
    provider.will_say(token("t1"));
    assert!(gateway.notify(message("$one", "phone")).await.is_empty());
    let seen = provider.wait_for(2).await;
    assert_eq!(seen[0].path, TOKEN_PATH);
    let form = String::from_utf8_lossy(&seen[0].body).into_owned();
    assert!(
        form.starts_with(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"
        ),
        "{form}"
    );
    assert_eq!(seen[1].path, "/v1/projects/project/messages:send");
    assert_eq!(seen[1].header("authorization"), "Bearer t1");
    let mut told = seen[1].json();
    let ttl = told["message"]["android"]["ttl"].take();
    let ttl = ttl.as_str().and_then(|ttl| ttl.strip_suffix('s'));
    let ttl: u64 = ttl.expect("seconds").parse().expect("a number");
    assert!((90..=100).contains(&ttl), "{ttl}");
    let collapse_key = told["message"]["android"]["collapse_key"].take();
    assert_eq!(collapse_key.as_str().map(str::len), Some(32));
    assert_eq!(
        told,
        json!({ "message": {
            "apns": { "payload": { "x": 1 } },
            "token": "phone",
            "android": { "priority": "normal", "ttl": null, "collapse_key": null },
            "data": {
                "cs": "s", "event_id": "$one", "room_id": "!room", "type": "m.room.message", "prio": "normal",
                "content_msgtype": "m.text", "content_body": "floating", "unread": "2",
            },
        } })
    );
    gateway.notify(message("$two", "phone")).await;
    assert_eq!(
        provider.wait_for(3).await[2].path,
        seen[1].path,
        "one token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_ended_is_fetched_anew() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[app(&provider)], "answer_within_ms = 20000");
    provider.will_say(token("t1"));
    provider.will_say(error(401, "UNAUTHENTICATED"));
    provider.will_say(token("t2"));
    assert!(gateway.notify(message("$one", "phone")).await.is_empty());
    let seen = provider.wait_for(4).await;
    assert_eq!(seen[2].path, TOKEN_PATH);
    assert_eq!(seen[3].header("authorization"), "Bearer t2");
    // The time to live is what is left of it.
    let but_for_ttl = |index: usize| {
        let mut told = seen[index].json();
        told["message"]["android"]["ttl"].take();
        told
    };
    assert_eq!(but_for_ttl(1), but_for_ttl(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_dead_tokens_are_rejected() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[app(&provider)], "answer_within_ms = 15000");
    provider.will_say(token("t1"));
    let violation =
        json!({ "fieldViolations": [{ "field": "message.token", "description": "no" }] });
    let malformed = Said::new(
        400,
        json!({ "error": { "status": "INVALID_ARGUMENT", "details": [violation] } }),
    );
    let unknown_project = Said::new(404, json!({ "error": { "status": "NOT_FOUND" } }));
    let cases = [
        (error(404, "UNREGISTERED"), true),
        (error(403, "SENDER_ID_MISMATCH"), true),
        (malformed, true),
        (error(400, "INVALID_ARGUMENT"), false),
        (error(429, "QUOTA_EXCEEDED"), false),
        (error(503, "UNAVAILABLE").with("retry-after", "3600"), false),
        // The last one: it is tried again soon.
        (unknown_project, false),
    ];
    for (number, (said, is_dead)) in cases.into_iter().enumerate() {
        provider.will_say(said.clone());
        let pushkey = format!("phone{number}");
        let rejected = gateway.notify(message("$one", &pushkey)).await;
        let wanted = if is_dead { vec![pushkey] } else { Vec::new() };
        assert_eq!(rejected, wanted, "{said:?}");
    }
}
