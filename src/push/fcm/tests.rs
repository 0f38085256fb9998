//! What Google is told, and what is made of its answers.

use playhouse_actors::gateway::Push;
use playhouse_schema::record::gateway::AcceptedPush;
use serde_json::{Value, json};

use super::{
    code_of,
    data::{Data, data},
    is_about_token,
};
use crate::push::{answer::Delivery, notification::Notice};

fn made_with(notice: Value, default_payload: Value, badge_counts: bool) -> Data {
    let push = Push {
        sequence: 1,
        accepted: AcceptedPush {
            push_id: "p".to_owned(),
            device: "d".to_owned(),
            digest: None,
            app_id: "a".to_owned(),
            pushkey: "k".to_owned(),
            data: "{}".to_owned(),
            notification: "{}".to_owned(),
            at_ms: 0,
            expires_ms: 1_000,
            counts: None,
            trace: String::new(),
        },
        attempts: 0,
        not_before_ms: 0,
    };
    let delivery = Delivery {
        push: &push,
        notice: serde_json::from_value::<Notice>(notice).unwrap(),
        data: json!({ "default_payload": default_payload })
            .as_object()
            .cloned()
            .unwrap(),
        now_ms: 0,
    };
    data(&delivery, badge_counts)
}

fn made(notice: Value, default_payload: Value) -> Value {
    match made_with(notice, default_payload, true) {
        Data::Whole(data) => Value::Object(data),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_of_it_is_text() {
    let notice = json!({
        "event_id": "$e", "type": "m.room.message", "sender": "@a:b", "room_name": "Mission Control",
        "room_alias": "#r:b", "sender_display_name": "Major Tom", "room_id": "!r",
        "content": { "msgtype": "m.text", "body": "floating", "m.mentions": {} },
        "counts": { "unread": 2, "missed_calls": 0 },
    });
    assert_eq!(
        made(notice, json!({ "cs": "secret", "n": 1 })),
        json!({
            "cs": "secret", "n": "1", "event_id": "$e", "type": "m.room.message", "sender": "@a:b",
            "room_name": "Mission Control", "room_alias": "#r:b", "sender_display_name": "Major Tom",
            "room_id": "!r", "content_msgtype": "m.text", "content_body": "floating", "prio": "high", "unread": "2",
        })
    );
}

#[test]
fn counts_alone() {
    let counts = json!({ "prio": "low", "counts": { "unread": 0 } });
    assert_eq!(
        made(counts.clone(), Value::Null),
        json!({ "prio": "normal", "unread": "0" })
    );
    assert_eq!(made_with(counts, Value::Null, false), Data::Nothing);
    assert_eq!(made_with(json!({}), json!(1), true), Data::Malformed);
}

#[test]
fn long_texts_are_cut() {
    let notice = json!({ "event_id": "$e", "content": { "body": "ä".repeat(2_000) } });
    let made = made(notice, json!({}));
    let body = made["content_body"].as_str().unwrap();
    assert!(body.len() <= 1_024 && body.len() > 1_020 && body.ends_with('…'));
}

#[test]
fn what_google_would_refuse_is_left_out() {
    let long = || "x".repeat(1_024);
    let notice = json!({
        "event_id": "$e", "room_id": "!r", "room_name": "Mission Control",
        "content": { "a": long(), "b": long(), "body": long(), "c": long(), "msgtype": "m.text" },
    });
    let told = made(notice, json!({ "cs": "secret" }));
    let told = told.as_object().unwrap();
    let bytes = told
        .iter()
        .map(|(key, value)| key.len() + value.as_str().unwrap().len());
    assert!(bytes.sum::<usize>() <= 4_096);
    for key in [
        "event_id",
        "room_id",
        "room_name",
        "cs",
        "content_body",
        "content_msgtype",
    ] {
        assert!(told.contains_key(key), "{key}");
    }
    let left = ["a", "b", "c"]
        .into_iter()
        .filter(|key| told.contains_key(&format!("content_{key}")));
    assert_eq!(left.count(), 2);
    let huge = json!({ "x": "y".repeat(5_000) });
    assert_eq!(
        made_with(json!({ "event_id": "$e" }), huge, true),
        Data::TooLarge
    );
}

fn error(code: &str, more: Value) -> Value {
    json!({
        "status": "X", "message": "words",
        "details": [{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }, more],
    })
}

#[test]
fn tokens_and_messages_are_told_apart() {
    assert_eq!(code_of(&error("UNREGISTERED", json!({}))), "UNREGISTERED");
    assert_eq!(code_of(&json!({ "status": "NOT_FOUND" })), "NOT_FOUND");
    assert_eq!(code_of(&Value::Null), "");
    let field = |field: &str| json!({ "fieldViolations": [{ "field": field }] });
    assert!(is_about_token(&error(
        "INVALID_ARGUMENT",
        field("message.token")
    )));
    assert!(!is_about_token(&error(
        "INVALID_ARGUMENT",
        field("message.data")
    )));
    assert!(!is_about_token(&error(
        "QUOTA_EXCEEDED",
        field("message.token")
    )));
    let words = json!({
        "status": "INVALID_ARGUMENT",
        "message": "The registration token is not a valid FCM registration token",
    });
    assert!(is_about_token(&words));
}
