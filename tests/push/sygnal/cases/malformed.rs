//! What no homeserver should say.

use serde_json::{Value, json};

use super::{Cases, data};

pub(super) fn add(cases: &mut Cases<'_>) {
    bodies(cases);
    types(cases);
    devices(cases);
}

fn bodies(cases: &mut Cases<'_>) {
    const DEVICE: &str = r#"{"app_id":"org.example.ios","pushkey":"AAAA"}"#;
    for (about, body) in [
        ("plain", String::new()),
        ("plain", "{".to_owned()),
        ("plain", "[]".to_owned()),
        ("crash", "3".to_owned()),
        ("crash", "\"notification\"".to_owned()),
        ("crash", "null".to_owned()),
        ("plain", "{}".to_owned()),
        ("plain", r#"{"notification":3}"#.to_owned()),
        ("plain", r#"{"notification":null}"#.to_owned()),
        ("plain", r#"{"notification":[]}"#.to_owned()),
        ("plain", r#"{"notification":{}}"#.to_owned()),
        ("plain", r#"{"notification":{"devices":[]}}"#.to_owned()),
        ("plain", r#"{"notification":{"devices":{}}}"#.to_owned()),
        ("plain", r#"{"notification":{"devices":null}}"#.to_owned()),
        ("plain", r#"{"notification":{"devices":["a"]}}"#.to_owned()),
        ("crash", r#"{"notification":{"devices":[3]}}"#.to_owned()),
        ("crash", r#"{"notification":{"devices":[null]}}"#.to_owned()),
        (
            "plain",
            r#"{"notification":{"devices":[{"pushkey":"a"}]}}"#.to_owned(),
        ),
        (
            "plain",
            r#"{"notification":{"devices":[{"app_id":"a"}]}}"#.to_owned(),
        ),
        (
            "plain",
            format!(r#"{{"notification":{{"x":NaN,"devices":[{DEVICE}]}}}}"#),
        ),
        (
            "plain",
            format!(r#"{{"notification":{{"x":1,}},"devices":[{DEVICE}]}}"#),
        ),
        (
            "plain",
            format!(r#"{{"notification":{{"devices":[{DEVICE}]}}}} more"#),
        ),
        (
            "plain",
            format!("\u{feff}{{\"notification\":{{\"devices\":[{DEVICE}]}}}}"),
        ),
        (
            "crash",
            format!(
                r#"{{"notification":{{"type":"m.room.message","sender":"\ud800","devices":[{DEVICE}]}}}}"#
            ),
        ),
        ("plain", format!("{{\"x\":{}", "[".repeat(100_000))),
    ] {
        let name = format!("the body {:?}", body.chars().take(90).collect::<String>());
        cases.raw(&name, about, body);
    }
    let mut broken = format!(r#"{{"notification":{{"x":"?","devices":[{DEVICE}]}}}}"#).into_bytes();
    for byte in &mut broken {
        if *byte == b'?' {
            *byte = 0xff;
        }
    }
    cases.raw("a body that is no text", "plain", broken);
}

/// A field of a wrong type.
fn types(cases: &mut Cases<'_>) {
    for field in [
        "event_id",
        "room_id",
        "type",
        "sender",
        "sender_display_name",
        "room_name",
        "prio",
    ] {
        cases.changed(
            &format!("{field} is a number"),
            ("types", "org.example.ios"),
            |told| {
                told[field] = json!(3);
            },
        );
    }
    for (name, field, value) in [
        ("content is a list", "content", json!(["x"])),
        ("content is a text", "content", json!("x")),
        ("user_is_target is a text", "user_is_target", json!("x")),
        ("counts are a text", "counts", json!("x")),
        ("a count is a switch", "counts", json!({ "unread": true })),
    ] {
        for app_id in ["org.example.ios", "org.example.android"] {
            cases.changed(name, ("types", app_id), |told| told[field] = value.clone());
        }
    }
    for (name, unread) in [
        ("a count is a text", json!("2")),
        ("a count is a fraction", json!(1.5)),
    ] {
        cases.changed(name, ("plain", "org.example.ios"), |told| {
            told["counts"]["unread"] = unread.clone();
        });
    }
    cases.each("a count below zero", "plain", |told| {
        told["counts"]["unread"] = json!(-1);
    });
    for field in ["content", "event_id", "room_name", "user_is_target"] {
        cases.changed(
            &format!("{field} is null"),
            ("plain", "org.example.ios"),
            |told| {
                told[field] = Value::Null;
            },
        );
    }
    cases.changed("counts are null", ("null", "org.example.ios"), |told| {
        told["counts"] = Value::Null;
    });
    cases.changed("a count is null", ("null", "org.example.ios"), |told| {
        told["counts"]["unread"] = Value::Null;
    });
    for (name, body) in [("a number", json!(3)), ("an object", json!({ "a": 1 }))] {
        cases.each(&format!("the words are {name}"), "odd words", |told| {
            told["content"]["body"] = body.clone();
        });
    }
}

/// A device with a wrong type.
fn devices(cases: &mut Cases<'_>) {
    let ios = |about| (about, "org.example.ios");
    for (about, field, value) in [
        ("plain", "app_id", json!(3)),
        ("plain", "pushkey", json!(3)),
        ("plain", "pushkey", Value::Null),
        ("plain", "data", json!([])),
        ("plain", "data", json!("x")),
        ("null", "data", Value::Null),
        ("lenient", "pushkey_ts", json!("1700000000")),
        ("lenient", "pushkey_ts", json!(1_700_000_000.5)),
        ("lenient", "pushkey_ts", Value::Null),
        ("lenient", "tweaks", json!([])),
        ("lenient", "tweaks", Value::Null),
        ("lenient", "tweaks", json!({ "sound": 3 })),
    ] {
        cases.changed(&format!("{field} is {value}"), ios(about), |told| {
            told["devices"][0][field] = value.clone();
        });
    }
    cases.changed("a format that is a number", ios("plain"), |told| {
        data(told)["format"] = json!(3);
    });
}
