//! What is told of events.

use serde_json::{Value, json};

use super::{Cases, data, without};

pub(super) fn add(cases: &mut Cases<'_>) {
    messages(cases);
    secrets_and_priorities(cases);
    rooms_and_people(cases);
    other_events(cases);
    defaults(cases);
    long(cases);
    too_long(cases);
}

fn messages(cases: &mut Cases<'_>) {
    const PLAIN: &str = "plain";
    cases.each("a text", PLAIN, |_| {});
    for (name, msgtype) in [
        ("an emote", "m.emote"),
        ("an image", "m.image"),
        ("a file", "m.file"),
        ("a notice", "m.notice"),
        ("a place", "m.location"),
        ("an own type of message", "org.example.own"),
    ] {
        cases.each(name, PLAIN, |told| {
            told["content"]["msgtype"] = json!(msgtype);
        });
    }
    for (name, msgtype) in [("an emote", "m.emote"), ("an image", "m.image")] {
        let name = format!("{name} in a room without a name");
        cases.each(&name, PLAIN, |told| {
            told["content"]["msgtype"] = json!(msgtype);
            without(told, "room_name");
        });
    }
    cases.each("an image without words", PLAIN, |told| {
        told["content"] = json!({ "msgtype": "m.image", "url": "mxc://example.org/x" });
    });
    cases.each("no words", PLAIN, |told| {
        told["content"]["body"] = json!("");
    });
    cases.each("no type of message", PLAIN, |told| {
        told["content"] = json!({ "body": "floating" });
    });
    cases.each("no content", PLAIN, |told| without(told, "content"));
    cases.each("an empty content", PLAIN, |told| {
        told["content"] = json!({});
    });
    cases.each("formatted words", PLAIN, |told| {
        told["content"]["format"] = json!("org.matrix.custom.html");
        told["content"]["formatted_body"] = json!("<b>floating</b> &amp; \"far\"");
    });
    cases.each("words of many tongues", PLAIN, |told| {
        told["content"]["body"] = json!("тихо 静か שקט 🚀\u{200d}🌕 \u{7}\n\t\"\\ \u{0}");
    });
}

fn secrets_and_priorities(cases: &mut Cases<'_>) {
    const PLAIN: &str = "plain";
    cases.each("a secret", PLAIN, |told| {
        told["type"] = json!("m.room.encrypted");
        told["content"] =
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "s" });
    });
    cases.each("a long secret", PLAIN, |told| {
        told["type"] = json!("m.room.encrypted");
        told["content"] =
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x".repeat(3_000) });
    });
    cases.each("low priority", PLAIN, |told| told["prio"] = json!("low"));
    cases.each("no priority", PLAIN, |told| without(told, "prio"));
    cases.each("an unknown priority", PLAIN, |told| {
        told["prio"] = json!("urgent");
    });
    cases.each("a sound", PLAIN, |told| {
        told["devices"][0]["tweaks"] = json!({ "sound": "bing", "highlight": true });
    });
    cases.each("nothing but the event", PLAIN, |told| {
        for field in [
            "type",
            "sender",
            "sender_display_name",
            "room_name",
            "content",
        ] {
            without(told, field);
        }
    });
    cases.each("nothing but the event's ID", PLAIN, |told| {
        *told = json!({ "event_id": told["event_id"], "devices": told["devices"] });
    });
}

fn rooms_and_people(cases: &mut Cases<'_>) {
    const PLAIN: &str = "plain";
    cases.each("a room with an alias", PLAIN, |told| {
        without(told, "room_name");
        told["room_alias"] = json!("#mission:example.org");
    });
    cases.each("a room with name and alias", PLAIN, |told| {
        told["room_alias"] = json!("#mission:example.org");
    });
    cases.each("a room without a name", PLAIN, |told| {
        without(told, "room_name");
    });
    cases.each("a sender without a name", PLAIN, |told| {
        without(told, "sender_display_name");
    });
    cases.each("nobody", PLAIN, |told| {
        without(told, "sender");
        without(told, "sender_display_name");
    });
    cases.each("a sender whose name is empty", "empty name", |told| {
        told["sender_display_name"] = json!("");
    });
}

fn other_events(cases: &mut Cases<'_>) {
    const PLAIN: &str = "plain";
    for (name, sdp) in [
        ("a call", "m=audio"),
        ("a call with a picture", "m=audio m=video"),
    ] {
        cases.each(name, PLAIN, |told| {
            told["type"] = json!("m.call.invite");
            told["content"] = json!({ "call_id": "c", "lifetime": 60_000, "offer": { "type": "offer", "sdp": sdp } });
        });
    }
    let member = |told: &mut Value, membership: &str, is_target: bool| {
        told["type"] = json!("m.room.member");
        told["content"] = json!({ "membership": membership });
        told["membership"] = json!(membership);
        told["user_is_target"] = json!(is_target);
    };
    cases.each("an invite", PLAIN, |told| member(told, "invite", true));
    cases.each("an invite to a room without a name", PLAIN, |told| {
        member(told, "invite", true);
        without(told, "room_name");
    });
    cases.each("an invite of somebody else", PLAIN, |told| {
        member(told, "invite", false);
    });
    cases.each("a removal", PLAIN, |told| member(told, "leave", true));
    cases.each("an event of an own type", PLAIN, |told| {
        told["type"] = json!("org.example.own");
        told["content"] = json!({ "a": "b", "c": 1, "d": { "e": "f" } });
    });
    cases.each("what the client wants to be IDs only", "format", |told| {
        data(told)["format"] = json!("event_id_only");
    });
}

fn defaults(cases: &mut Cases<'_>) {
    let mut with = |name: &str, about, default: Value| {
        cases.each(name, about, |told| {
            data(told)["default_payload"] = default.clone();
        });
    };
    with("a default of texts", "default", json!({ "cs": "x" }));
    with("an empty default", "default", json!({}));
    let element = json!({
        "aps": { "mutable-content": 1, "alert": { "loc-key": "Notification", "loc-args": [] } }, "session": "s",
    });
    with("the default of an iPhone's app", "default", element);
    with(
        "a default of numbers",
        "default",
        json!({ "n": 3, "yes": true }),
    );
    with("a default that is a list", "default", json!([]));
    with("a default that is a text", "default", json!("x"));
    with("a default that is null", "null", Value::Null);
    with(
        "a default whose aps is a number",
        "odd default",
        json!({ "aps": 3 }),
    );
    with(
        "a default whose alert is a text",
        "odd default",
        json!({ "aps": { "alert": "x" } }),
    );
    for (name, default) in [
        (
            "IDs with a default",
            json!({ "aps": { "alert": "x", "sound": "bing" } }),
        ),
        (
            "IDs that wake an app up",
            json!({ "aps": { "content-available": 1 } }),
        ),
    ] {
        cases.changed(name, ("ids", "org.example.ios"), |told| {
            without(told, "type");
            data(told)["default_payload"] = default.clone();
        });
    }
}

fn long(cases: &mut Cases<'_>) {
    let mut body = |name: &str, text: String| {
        cases.each(name, "long", |told| told["content"]["body"] = json!(text));
    };
    body("1,000 bytes", "x".repeat(1_000));
    body("1,024 bytes", "x".repeat(1_024));
    body("1,100 bytes", "x".repeat(1_100));
    body("3,000 bytes", "x".repeat(3_000));
    body("2,000 letters of two bytes", "ä".repeat(2_000));
    body("800 letters of three bytes", "漢".repeat(800));
    cases.each("long names", "long", |told| {
        told["sender_display_name"] = json!("x".repeat(1_500));
    });
    cases.each("long names of two bytes each letter", "long", |told| {
        told["room_name"] = json!("ä".repeat(1_500));
    });
    cases.each("everything is long", "long", |told| {
        told["sender_display_name"] = json!("s".repeat(3_000));
        told["room_name"] = json!("r".repeat(3_000));
        told["room_alias"] = json!("a".repeat(3_000));
        told["content"]["body"] = json!("b".repeat(3_000));
    });
    cases.each("long formatted words", "long", |told| {
        told["content"]["formatted_body"] = json!("x".repeat(5_000));
    });
    let case = cases.changed("100,000 bytes", ("very long", "org.example.ios"), |told| {
        told["content"]["body"] = json!("x".repeat(100_000));
    });
    // Sygnal does nothing else meanwhile.
    case.alone = true;
    cases.each("a content of 50 texts", "long", |told| {
        for number in 0..50 {
            told["content"][format!("text{number}")] = json!("x".repeat(1_000));
        }
    });
}

fn too_long(cases: &mut Cases<'_>) {
    cases.each("a default of 6,000 bytes", "too long", |told| {
        data(told)["default_payload"] = json!({ "x": "x".repeat(6_000) });
    });
    cases.each("IDs of 2,000 bytes", "bounds", |told| {
        let event_id = format!(
            "{}{}",
            told["event_id"].as_str().unwrap_or(""),
            "x".repeat(2_000)
        );
        told["event_id"] = json!(event_id);
    });
    cases.changed(
        "20,000 bytes of data",
        ("bounds", "org.example.ios"),
        |told| {
            data(told)["x"] = json!("x".repeat(20_000));
        },
    );
    cases.changed(
        "a request of 300 kB",
        ("bounds", "org.example.android"),
        |told| {
            told["content"]["body"] = json!("x".repeat(300_000));
        },
    );
    cases.changed(
        "a request of 600 kB",
        ("bounds", "org.example.android"),
        |told| {
            told["content"]["body"] = json!("x".repeat(600_000));
        },
    );
}
