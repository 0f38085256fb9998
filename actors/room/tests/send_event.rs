use playhouse_schema::record::room::{RoomRecord, Transaction};
use ruma::{RoomVersionId, events::StateEventType};

use super::VERSIONS;
use crate::room::{
    RoomCommand, RoomError, RoomReply,
    domain::decide,
    message::{Preset, SendEvent},
    testing::{Stage, env, message, state},
};

fn transaction(id: &str) -> Option<Transaction> {
    Some(Transaction {
        user_id: "@alice:localhost".to_owned(),
        device_id: "D".to_owned(),
        transaction_id: format!("send/{id}"),
    })
}

#[test]
fn a_message_follows_the_newest_event() {
    for version in VERSIONS {
        let mut stage = Stage::of(version.clone(), Preset::PublicChat);
        let end = stage.room.extremities[0].clone();
        let event_id = stage.send(message("alice", "hi")).unwrap();
        let event = stage.event(&event_id);
        assert_eq!(
            event.pdu.prev_events,
            std::slice::from_ref(&end.event_id),
            "version {version}"
        );
        assert_eq!(event.pdu.depth, end.depth + 1);
        assert_eq!(event.before, stage.room.current_id);
        let authorising = if version == RoomVersionId::V12 { 2 } else { 3 };
        assert_eq!(event.pdu.auth_events.len(), authorising);
    }
}

#[test]
fn event_ids_have_the_form_of_the_version() {
    let id = |version| {
        let mut stage = Stage::of(version, Preset::PublicChat);
        let id = stage.send(message("alice", "hi")).unwrap();
        (id.to_string(), stage)
    };
    let (given, stage) = id(RoomVersionId::V1);
    assert!(given.ends_with(":localhost"));
    let json: serde_json::Value =
        serde_json::from_slice(stage.events().last().unwrap().pdu.json()).unwrap();
    assert_eq!(json["event_id"], given);
    assert_eq!(
        json["prev_events"][0][1]["sha256"].as_str().unwrap().len(),
        43
    );
    assert_eq!(
        json["auth_events"][0][1]["sha256"].as_str().unwrap().len(),
        43
    );
    for version in [RoomVersionId::V3, RoomVersionId::V4] {
        assert_eq!(id(version).0.len(), 44);
    }
    let url_safe = |text: &str| !text.contains(['+', '/']);
    let mut stage = Stage::of(RoomVersionId::V3, Preset::PublicChat);
    let standard = (0..30).any(|_| !url_safe(stage.send(message("alice", "hi")).unwrap().as_str()));
    assert!(standard);
    let mut stage = Stage::of(RoomVersionId::V4, Preset::PublicChat);
    assert!((0..30).all(|_| url_safe(stage.send(message("alice", "hi")).unwrap().as_str())));
}

#[test]
fn a_repeated_transaction_is_answered_with_the_first_event() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let send = SendEvent {
        transaction: transaction("1"),
        ..message("alice", "hi")
    };
    let first = stage.send(send.clone()).unwrap();
    let count = stage.log.len();
    assert_eq!(stage.send(send.clone()).unwrap(), first);
    assert_eq!(stage.log.len(), count);
    let other = SendEvent {
        transaction: transaction("2"),
        ..send
    };
    assert_ne!(stage.send(other).unwrap(), first);
}

#[test]
fn a_repeated_transaction_is_known_while_the_first_is_in_flight() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let command = RoomCommand::SendEvent(Box::new(SendEvent {
        transaction: transaction("1"),
        ..message("alice", "hi")
    }));
    let first = decide(&stage.room, command.clone(), &stage.env).unwrap();
    stage
        .room
        .take_in(stage.room.sequence + 1, 0, &first.records[0]);
    let second = decide(&stage.room, command, &stage.env).unwrap();
    assert!(second.records.is_empty());
    let RoomReply::Sent(event_id) = second.reply else {
        panic!("an event was expected");
    };
    assert!(
        matches!(&first.records[0], RoomRecord::Event(record) if record.event_id == event_id.as_str())
    );
}

#[test]
fn strangers_and_the_powerless_are_refused() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    assert!(matches!(
        stage.send(message("bob", "hi")),
        Err(RoomError::Forbidden(_))
    ));
    stage.join("bob").unwrap();
    stage.send(message("bob", "hi")).unwrap();
    assert!(matches!(
        stage.send(state("bob", "m.room.name", "", r#"{"name":"Bob's"}"#)),
        Err(RoomError::Forbidden(_))
    ));
    assert!(matches!(
        stage.send(state("alice", "m.room.create", "", "{}")),
        Err(RoomError::Forbidden(_))
    ));
    let mut nowhere = Stage::empty("!none:localhost".try_into().unwrap(), env());
    assert_eq!(
        nowhere.send(message("alice", "hi")),
        Err(RoomError::UnknownRoom)
    );
}

#[test]
fn unchanged_state_is_answered_with_the_event_in_force() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let first = stage
        .send(state("alice", "m.room.name", "", r#"{"name":"A","x":1}"#))
        .unwrap();
    let same = stage
        .send(state(
            "alice",
            "m.room.name",
            "",
            r#"{ "x": 1, "name": "A" }"#,
        ))
        .unwrap();
    assert_eq!(first, same);
    let other = stage
        .send(state("alice", "m.room.name", "", r#"{"name":"B"}"#))
        .unwrap();
    let event = stage.event(&other);
    assert_eq!(event.replaces, Some(stage.event(&first).sequence));
    assert_eq!(stage.room.current_id, event.sequence);
}

#[test]
fn numbers_are_judged_by_the_version() {
    let float = || SendEvent {
        content: r#"{"a":1.5,"b":12345678901234567890,"c":"x"}"#.to_owned(),
        ..message("alice", "")
    };
    let mut strict = Stage::of(RoomVersionId::V6, Preset::PublicChat);
    assert!(matches!(strict.send(float()), Err(RoomError::BadJson(_))));
    let mut lenient = Stage::of(RoomVersionId::V5, Preset::PublicChat);
    let event_id = lenient.send(float()).unwrap();
    assert_eq!(
        lenient.event(&event_id).pdu.content_json(),
        r#"{"a":1.5,"b":12345678901234567890,"c":"x"}"#
    );
}

#[test]
fn sizes_are_counted_in_bytes() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let key = "é".repeat(128);
    assert_eq!(
        stage.send(state("alice", "m.x", &key, "{}")),
        Err(RoomError::TooLarge)
    );
    stage
        .send(state("alice", "m.x", &"é".repeat(127), "{}"))
        .unwrap();
    assert_eq!(
        stage.send(message("alice", &"x".repeat(65_536))),
        Err(RoomError::TooLarge)
    );
    stage.send(message("alice", &"x".repeat(64_000))).unwrap();
    let name = stage.room.state_event(&StateEventType::RoomName, "");
    assert!(name.is_none());
}
