//! What browsers are told.

use playhouse_actors::gateway::Push;
use playhouse_schema::record::gateway::AcceptedPush;
use serde_json::{Value, json};

use super::{address, message};
use crate::push::{answer::Delivery, notification::Notice};

const KEY: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

fn push(pushkey: &str) -> Push {
    Push {
        sequence: 1,
        accepted: AcceptedPush {
            push_id: "p".to_owned(),
            device: "d".to_owned(),
            digest: None,
            app_id: "a".to_owned(),
            pushkey: pushkey.to_owned(),
            data: "{}".to_owned(),
            notification: "{}".to_owned(),
            at_ms: 0,
            expires_ms: 1_000,
            counts: None,
            trace: String::new(),
        },
        attempts: 0,
        not_before_ms: 0,
    }
}

fn delivery<'a>(push: &'a Push, notice: &Value, data: &Value) -> Delivery<'a> {
    Delivery {
        push,
        notice: serde_json::from_value::<Notice>(notice.clone()).unwrap(),
        data: data.as_object().cloned().unwrap(),
        now_ms: 0,
    }
}

#[test]
fn addresses_are_whole_or_none() {
    let auth = "BTBZMqHH6r4Tts7J_aSIgg";
    let good = json!({ "endpoint": "https://push.example/x", "auth": auth });
    let padded = KEY.replace('_', "/").replace('-', "+") + "=";
    for key in [KEY, &padded] {
        assert!(address(&delivery(&push(key), &json!({}), &good)).is_some());
    }
    for (key, data) in [
        ("short", good.clone()),
        ("!!", good),
        (KEY, json!({ "endpoint": "https://push.example/x" })),
        (KEY, json!({ "auth": auth })),
        (KEY, json!({ "endpoint": "nowhere", "auth": auth })),
        (
            KEY,
            json!({ "endpoint": "file:///etc/passwd", "auth": auth }),
        ),
        (
            KEY,
            json!({ "endpoint": "https://push.example/x", "auth": "AAAA" }),
        ),
    ] {
        let push = push(key);
        assert!(
            address(&delivery(&push, &json!({}), &data)).is_none(),
            "{key} {data}"
        );
    }
}

fn told(notice: &Value, data: &Value, badge_counts: bool) -> Value {
    let push = push(KEY);
    let message = message(&delivery(&push, notice, data), badge_counts).unwrap();
    serde_json::from_slice(&message).unwrap()
}

#[test]
fn messages_begin_with_what_the_client_says() {
    let notice = json!({
        "event_id": "$e", "room_id": "!r", "type": "m.room.message", "sender": "@a:b", "user_is_target": false,
        "content": { "body": "x".repeat(1_500), "formatted_body": "<b>x</b>", "msgtype": "m.text" },
        "counts": { "unread": 2 },
    });
    let data = json!({ "default_payload": { "account": 1 } });
    let told_all = told(&notice, &data, true);
    assert_eq!(told_all["account"], 1);
    assert_eq!(told_all["unread"], 2);
    assert_eq!(told_all["content"]["msgtype"], "m.text");
    assert!(told_all["content"].get("formatted_body").is_none());
    assert_eq!(
        told_all["content"]["body"]
            .as_str()
            .unwrap()
            .chars()
            .count(),
        1_001
    );
    assert!(told_all.get("user_is_target").is_none());
    assert!(told(&notice, &data, false).get("unread").is_none());
}

#[test]
fn what_is_empty_is_left_out() {
    let notice = json!({ "type": null, "sender": "", "content": {}, "counts": { "unread": 0 } });
    assert_eq!(told(&notice, &json!({}), true), json!({ "unread": 0 }));
}

#[test]
fn what_does_not_fit_is_left_out() {
    let notice = json!({ "event_id": "$e", "content": { "x": "y".repeat(5_000) } });
    assert_eq!(told(&notice, &json!({}), true), json!({ "event_id": "$e" }));
    let push = push(KEY);
    let huge = json!({ "default_payload": { "x": "y".repeat(5_000) } });
    assert!(message(&delivery(&push, &json!({}), &huge), true).is_none());
}
