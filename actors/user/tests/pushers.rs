//! Pushers.

use std::sync::atomic::Ordering;

use playhouse_schema::record::user::{PushFailed, Pushed, PushesSettled};
use serde_json::{Value as JsonValue, json};

use super::trial::Trial;
use crate::user::{UserCommand, UserError, push_standing::PushNote, pushers::Pusher};

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

/// The one pusher.
fn only(alice: &Trial) -> Pusher {
    alice.user.pushers.values().next().unwrap().clone()
}

fn note(note: PushNote) -> UserCommand {
    UserCommand::NotePush(Box::new(note))
}

fn pushed(pusher: u64, room_id: &str, sequence: u64, unread: u64) -> UserCommand {
    note(PushNote::Pushed(Pushed {
        pusher,
        at_ms: 0,
        rooms: vec![(room_id.to_owned(), sequence)],
        unread,
        missed_calls: unread / 2,
    }))
}

fn failed(pusher: u64, lag: Option<Vec<(u16, u64)>>) -> UserCommand {
    note(PushNote::Failed(PushFailed {
        pusher,
        at_ms: 0,
        next_ms: 2_000_000,
        reason: "x".repeat(1_000),
        lag,
    }))
}

#[test]
fn what_became_of_pushes_is_kept_with_the_pusher() {
    let mut alice = Trial::with_devices(&["A"]);
    alice.done(set(&pusher("app", "key"), "A"));
    let number = only(&alice).number;
    assert_eq!(alice.done(pushed(number, "!a", 7, 2)), 1);
    assert_eq!(alice.done(pushed(number, "!a", 5, 1)), 1);
    let standing = only(&alice).standing;
    assert_eq!(standing.pushed["!a"], (7, 1_000_000));
    assert_eq!((standing.unread, standing.success_ms), (Some(1), 1_000_000));
    assert_eq!(standing.missed_calls, 0);
    // Of a pusher that is gone nothing is kept.
    assert_eq!(alice.done(pushed(number + 100, "!a", 9, 0)), 0);

    assert_eq!(alice.done(failed(number, Some(vec![(0, 3)]))), 1);
    assert_eq!(alice.done(failed(number, Some(vec![(0, 9)]))), 1);
    let standing = only(&alice).standing;
    assert_eq!(standing.lag.as_deref(), Some(&vec![(0, 3)]));
    assert_eq!((standing.failures, standing.next_ms), (2, 2_000_000));
    assert_eq!(standing.reason.as_deref().map(str::len), Some(300));

    // Set again it is the same pusher, and is tried at once.
    let mut again = pusher("app", "key");
    again["lang"] = json!("de");
    alice.done(set(&again, "B"));
    let known = only(&alice);
    assert_eq!((known.number, known.standing.next_ms), (number, 0));
    assert_eq!(known.device_id.as_deref(), Some("A"));
    assert!(known.standing.lag.is_some());

    let settled = PushNote::Settled(PushesSettled {
        pusher: number,
        at_ms: 0,
        mailed: Vec::new(),
    });
    assert_eq!(alice.done(note(settled.clone())), 1);
    assert_eq!(alice.done(note(settled)), 0);
    let standing = only(&alice).standing;
    assert_eq!((standing.failures, standing.lag.is_some()), (0, false));
}

#[test]
fn what_was_pushed_long_ago_is_forgotten() {
    let mut alice = Trial::with_devices(&["A"]);
    alice.done(set(&pusher("app", "key"), "A"));
    let number = only(&alice).number;
    alice.done(pushed(number, "!a", 7, 2));
    alice.clock.0.store(2_000_000, Ordering::SeqCst);
    alice.done(pushed(number, "!b", 8, 2));
    let rooms: Vec<_> = only(&alice).standing.pushed.keys().cloned().collect();
    assert_eq!(rooms, ["!b"]);
}

#[test]
fn a_rejected_pusher_ends_with_its_reason() {
    let mut alice = Trial::with_devices(&["A"]);
    for key in 0..30 {
        alice.done(set(&pusher("app", &format!("key{key}")), "A"));
        let rejected = PushNote::Rejected {
            pusher: only(&alice).number,
            reason: "gone".to_owned(),
        };
        assert_eq!(alice.done(note(rejected)), 1);
    }
    assert!(alice.user.pushers.is_empty());
    assert_eq!(alice.user.ended_pushers.len(), 20);
    let last = alice.user.ended_pushers.last().unwrap();
    assert_eq!((&*last.pushkey, &*last.reason), ("key29", "gone"));
}
