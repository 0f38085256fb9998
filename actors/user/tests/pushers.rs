//! Pushers.

use serde_json::{Value as JsonValue, json};

use super::trial::Trial;
use crate::user::{UserCommand, UserError};

fn pusher(app_id: &str, pushkey: &str) -> JsonValue {
    json!({
        "app_id": app_id, "pushkey": pushkey, "kind": "http", "app_display_name": "App", "device_display_name": "Phone", "lang": "en",
        "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}
    })
}

fn set(pusher: &JsonValue, device_id: &str) -> UserCommand {
    UserCommand::SetPusher {
        pusher: pusher.to_string(),
        device_id: Some(device_id.into()),
    }
}

fn remove(app_id: &str, pushkey: &str) -> UserCommand {
    UserCommand::RemovePusher {
        app_id: app_id.to_owned(),
        pushkey: pushkey.to_owned(),
    }
}

#[test]
fn pushers_are_set_replaced_and_removed() {
    let mut alice = Trial::with_devices(&["A"]);
    let mut first = pusher("app", "key");
    assert_eq!(alice.done(set(&first, "A")), 1);
    assert_eq!(alice.done(set(&first, "A")), 0);
    first["lang"] = json!("de");
    assert_eq!(alice.done(set(&first, "A")), 1);
    alice.done(set(&pusher("app", "other"), "A"));
    assert_eq!(alice.user.pushers.len(), 2);
    assert_eq!(alice.done(remove("app", "none")), 0);
    assert_eq!(alice.done(remove("app", "key")), 1);
    assert_eq!(alice.user.pushers.len(), 1);
    alice.limits.pushers_max = 1;
    let many = alice.refused(set(&pusher("app", "third"), "A"));
    assert!(matches!(many, UserError::TooLarge(_)));
}

#[test]
fn pushers_end_with_their_device_and_account() {
    let mut alice = Trial::with_devices(&["A", "B"]);
    alice.done(set(&pusher("app", "a"), "A"));
    alice.done(set(&pusher("app", "b"), "B"));
    alice.done(UserCommand::RemoveDevices {
        device_ids: vec!["A".into()],
    });
    let left: Vec<_> = alice.user.pushers.keys().map(|key| &*key.1).collect();
    assert_eq!(left, ["b"]);
    alice.done(UserCommand::Deactivate { erase: false });
    assert!(alice.user.pushers.is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut alice = Trial::with_devices(&["A"]);
    let changed = |pointer: &str, value: JsonValue| {
        let mut pusher = pusher("app", "key");
        if let Some(place) = pusher.pointer_mut(pointer) {
            *place = value;
        }
        pusher
    };
    for wrong in [
        changed("/app_id", json!("x".repeat(65))),
        changed("/app_id", json!("")),
        changed("/pushkey", json!("x".repeat(513))),
        changed("/kind", json!("pigeon")),
        changed("/kind", json!("email")),
        changed("/data/url", json!("https://push.example.org/other")),
        changed(
            "/data/url",
            json!("ftp://push.example.org/_matrix/push/v1/notify"),
        ),
        changed("/data/url", json!("https:///_matrix/push/v1/notify")),
    ] {
        let error = alice.refused(set(&wrong, "A"));
        assert!(
            matches!(error, UserError::InvalidParam(_)),
            "{wrong}: {error:?}"
        );
    }
    let error = alice.refused(set(&changed("/data", json!({})), "A"));
    assert!(matches!(error, UserError::MissingParam(_)));
}
