//! What Apple is told, and what is made of its answers.

use playhouse_actors::{env::JsonObject, gateway::Push};
use playhouse_schema::record::gateway::AcceptedPush;
use serde_json::{Value, json};

use super::{
    EcKey, TOKEN_KEPT_MS, TOKEN_KEPT_MS_MIN, Tokens,
    payload::{Payload, Style, payload},
    type_of,
};
use crate::push::{answer::Delivery, notification::Notice};

fn push() -> Push {
    Push {
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
    }
}

fn style() -> Style {
    Style {
        badge_counts: true,
        mutable_content: false,
        bytes_max: 4_096,
    }
}

fn made_with(notice: Value, data: Value, style: &Style) -> Payload {
    let push = push();
    let delivery = Delivery {
        push: &push,
        notice: serde_json::from_value::<Notice>(notice).unwrap(),
        data: data.as_object().cloned().unwrap_or_default(),
        now_ms: 0,
    };
    payload(&delivery, style)
}

fn made(notice: Value, data: Value) -> Value {
    match made_with(notice, data, &style()) {
        Payload::Whole(payload) => Value::Object(payload),
        other => panic!("{other:?}"),
    }
}

fn message(more: &Value) -> Value {
    let mut notice = json!({
        "room_id": "!room", "event_id": "$event", "type": "m.room.message",
        "sender_display_name": "Major Tom", "room_name": "Mission Control",
        "content": { "msgtype": "m.text", "body": "floating" }, "counts": { "unread": 2, "missed_calls": 1 },
    });
    for (key, value) in more.as_object().unwrap() {
        notice[key] = value.clone();
    }
    notice
}

#[test]
fn a_message_in_a_room() {
    assert_eq!(
        made(message(&json!({})), json!({})),
        json!({
            "room_id": "!room", "event_id": "$event",
            "aps": {
                "alert": {
                    "loc-key": "MSG_FROM_USER_IN_ROOM_WITH_CONTENT",
                    "loc-args": ["Major Tom", "Mission Control", "floating"],
                },
                "badge": 3,
            },
        })
    );
}

#[test]
fn keys_of_all_kinds() {
    let image = json!({ "msgtype": "m.image", "body": "pic" });
    let emote = json!({ "msgtype": "m.emote", "body": "waves" });
    let video = json!({ "offer": { "sdp": "v=0 m=video" } });
    let cases = [
        (
            json!({ "room_name": null }),
            "MSG_FROM_USER_WITH_CONTENT",
            2,
        ),
        (json!({ "content": image }), "IMAGE_FROM_USER_IN_ROOM", 3),
        (
            json!({ "content": image, "room_name": null }),
            "IMAGE_FROM_USER",
            2,
        ),
        (json!({ "content": emote }), "ACTION_FROM_USER_IN_ROOM", 3),
        (
            json!({ "content": emote, "room_name": null }),
            "ACTION_FROM_USER",
            2,
        ),
        (json!({ "content": {} }), "MSG_FROM_USER_IN_ROOM", 2),
        (
            json!({ "content": { "msgtype": "m.text", "body": "" } }),
            "MSG_FROM_USER_IN_ROOM",
            2,
        ),
        (
            json!({ "type": "m.room.encrypted", "content": {}, "room_name": null }),
            "MSG_FROM_USER",
            1,
        ),
        (
            json!({ "type": "m.call.invite", "content": video }),
            "VIDEO_CALL_FROM_USER",
            1,
        ),
        (
            json!({ "type": "m.call.invite", "content": {} }),
            "VOICE_CALL_FROM_USER",
            1,
        ),
        (
            json!({ "type": "m.room.member", "membership": "invite", "user_is_target": true }),
            "USER_INVITE_TO_NAMED_ROOM",
            2,
        ),
        (
            json!({ "type": "m.room.member", "membership": "invite", "user_is_target": true, "room_name": null }),
            "USER_INVITE_TO_CHAT",
            1,
        ),
        (json!({ "type": "org.example" }), "MSG_FROM_USER", 1),
    ];
    for (more, key, arguments) in cases {
        let made = made(message(&more), json!({}));
        let alert = &made["aps"]["alert"];
        assert_eq!(alert["loc-key"], key, "{more}");
        assert_eq!(alert["loc-args"].as_array().unwrap().len(), arguments);
    }
}

#[test]
fn ids_only_begin_with_what_the_client_says() {
    let data = json!({ "default_payload": { "aps": { "mutable-content": 1, "alert": { "loc-key": "SINGLE_UNREAD" } } } });
    let notice = json!({ "room_id": "!room", "event_id": "$event", "counts": { "unread": 1 } });
    assert_eq!(
        made(notice.clone(), data),
        json!({
            "aps": { "mutable-content": 1, "alert": { "loc-key": "SINGLE_UNREAD" } },
            "room_id": "!room", "event_id": "$event", "unread_count": 1,
        })
    );
    let style = Style {
        badge_counts: false,
        mutable_content: true,
        ..style()
    };
    let Payload::Whole(made) = made_with(notice.clone(), json!({}), &style) else {
        panic!("it can be shown");
    };
    assert_eq!(
        Value::Object(made),
        json!({ "aps": { "mutable-content": 1 }, "room_id": "!room", "event_id": "$event" })
    );
    let wrong = json!({ "default_payload": "x" });
    assert_eq!(made_with(notice, wrong, &style), Payload::Malformed);
}

#[test]
fn counts_alone_are_a_badge() {
    let counts = json!({ "counts": { "unread": 5 } });
    let data = json!({ "default_payload": { "aps": { "alert": "hello" } } });
    assert_eq!(made(counts.clone(), data), json!({ "aps": { "badge": 5 } }));
    assert_eq!(
        made(json!({ "counts": {} }), json!({})),
        json!({ "aps": { "badge": 0 } })
    );
    assert_eq!(made_with(json!({}), json!({}), &style()), Payload::Nothing);
    let silent = Style {
        badge_counts: false,
        ..style()
    };
    assert_eq!(made_with(counts, json!({}), &silent), Payload::Nothing);
}

#[test]
fn what_is_too_long_is_cut() {
    let long = "ä".repeat(3_000);
    let content = json!({ "msgtype": "m.text", "body": "\"".repeat(1_000) });
    let more = json!({ "content": content, "room_name": long, "sender_display_name": long });
    let made = made(message(&more), json!({}));
    let bytes = serde_json::to_vec(&made).unwrap().len();
    assert!((3_900..=4_096).contains(&bytes), "{bytes}");
    let arguments = made["aps"]["alert"]["loc-args"].as_array().unwrap().clone();
    let lengths: Vec<_> = arguments
        .iter()
        .map(|text| text.as_str().unwrap().len())
        .collect();
    let shortest = lengths.iter().min().copied().unwrap_or(0);
    assert!(shortest > 500, "{lengths:?}");
    let huge = json!({ "default_payload": { "x": "y".repeat(5_000) } });
    assert_eq!(
        made_with(message(&json!({})), huge, &style()),
        Payload::TooLarge
    );
}

#[test]
fn types_that_fit() {
    let payload =
        |aps: Value| -> JsonObject { json!({ "aps": aps }).as_object().cloned().unwrap() };
    assert_eq!(
        type_of(&payload(json!({ "content-available": 1 }))),
        "background"
    );
    assert_eq!(
        type_of(&payload(json!({ "content-available": 1, "badge": 1 }))),
        "alert"
    );
    assert_eq!(type_of(&payload(json!({}))), "alert");
}

#[test]
fn tokens_are_neither_old_nor_new_too_often() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.p8");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(&path, key.serialize_pem()).unwrap();
    let tokens = Tokens {
        key: EcKey::open(&path.to_string_lossy()).unwrap(),
        key_id: "KEY".to_owned(),
        team_id: "TEAM".to_owned(),
        last: parking_lot::Mutex::default(),
    };
    let first = tokens.current(1_000).unwrap();
    assert_eq!(tokens.current(TOKEN_KEPT_MS).unwrap(), first);
    // A key that Apple does not believe makes no storm of new tokens.
    tokens.replace(TOKEN_KEPT_MS_MIN);
    assert_eq!(tokens.current(TOKEN_KEPT_MS_MIN).unwrap(), first);
    let later_ms = 1_000 + TOKEN_KEPT_MS_MIN;
    tokens.replace(later_ms);
    let second = tokens.current(later_ms).unwrap();
    assert_ne!(second, first);
    let third = tokens.current(later_ms + TOKEN_KEPT_MS).unwrap();
    assert_ne!(third, second);
}
