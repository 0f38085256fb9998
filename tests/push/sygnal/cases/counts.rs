//! What is told of counts.

use serde_json::{Value, json};

use super::{Cases, without};

pub(super) fn add(cases: &mut Cases<'_>) {
    for (name, counts) in [
        ("nothing unread", json!({ "unread": 0 })),
        ("a missed call", json!({ "missed_calls": 1 })),
        (
            "messages and calls",
            json!({ "unread": 3, "missed_calls": 2 }),
        ),
        ("many messages", json!({ "unread": 1_099_511_627_776_u64 })),
        ("empty counts", json!({})),
    ] {
        cases.each(&format!("a message and {name}"), "plain", |told| {
            told["counts"] = counts.clone();
        });
        cases.each(&format!("{name}, and no event"), "counts", |told| {
            *told = json!({ "counts": counts, "devices": told["devices"] });
        });
    }
    cases.each("a message without counts", "plain", |told| {
        without(told, "counts");
    });
    cases.each("nothing at all", "counts", |told| {
        *told = json!({ "devices": told["devices"] });
    });
    cases.each("counts of a room, and no event", "counts", |told| {
        *told = json!({ "room_id": "!room:example.org", "counts": { "unread": 4 }, "devices": told["devices"] });
    });
    apps(cases);
}

/// Apps with options of their own.
fn apps(cases: &mut Cases<'_>) {
    let counts = |told: &mut Value| {
        *told = json!({ "counts": { "unread": 5 }, "devices": told["devices"] });
    };
    for app_id in [
        "org.example.ios.alert",
        "org.example.ios.hex",
        "org.example.ios.certified",
        "org.example.android.options",
        "org.example.android.quiet",
    ] {
        cases.changed("a text", ("plain", app_id), |_| {});
        cases.changed("low priority", ("plain", app_id), |told| {
            told["prio"] = json!("low");
        });
        cases.changed("counts", ("plain", app_id), counts);
    }
    for (about, app_id) in [
        ("voip", "org.example.ios.voip"),
        ("background", "org.example.ios.background"),
    ] {
        cases.changed("a text", (about, app_id), |_| {});
        cases.changed("a call", (about, app_id), |told| {
            told["type"] = json!("m.call.invite");
            told["content"] = json!({ "lifetime": 60_000, "offer": { "sdp": "m=audio" } });
        });
        cases.changed("nothing but the event", (about, app_id), |told| {
            without(told, "type");
        });
        cases.changed("counts", (about, app_id), counts);
    }
}
