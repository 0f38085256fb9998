use playhouse_schema::record::room::Verdict;
use ruma::{RoomVersionId, events::StateEventType, owned_event_id};

use super::VERSIONS;
use crate::room::{
    RoomError,
    message::{Preset, SendEvent},
    pdu::Pdu,
    redact::{read_target, target_of},
    state::RECENT_EVENTS_MAX,
    testing::{Stage, fingerprint, message, redaction, state},
};

#[test]
fn a_redaction_takes_the_content_out_of_log_and_memory() {
    for version in VERSIONS {
        let mut stage = Stage::of(version.clone(), Preset::PublicChat);
        stage.join("bob").unwrap();
        let target = stage.send(message("bob", "secret")).unwrap();
        let by = stage.send(redaction("alice", &target)).unwrap();
        for event in [
            stage.event(&target),
            stage.room.recent_event(&target).unwrap().clone(),
        ] {
            let json: serde_json::Value = serde_json::from_slice(event.pdu.json()).unwrap();
            assert_eq!(json["content"], serde_json::json!({}), "version {version}");
            let because = &json["unsigned"]["redacted_because"];
            assert_eq!(because["event_id"], by.as_str());
            assert_eq!(because["redacts"], target.as_str());
            assert_eq!(because["content"]["redacts"], target.as_str());
            assert!(event.position() > 0);
        }
        let redaction: serde_json::Value =
            serde_json::from_slice(stage.event(&by).pdu.json()).unwrap();
        let in_content = matches!(version, RoomVersionId::V11 | RoomVersionId::V12);
        assert_eq!(redaction["content"].get("redacts").is_some(), in_content);
        assert_eq!(redaction.get("redacts").is_some(), !in_content);
    }
}

#[test]
fn one_redacts_ones_own_or_with_power() {
    let mut stage = Stage::of(RoomVersionId::V10, Preset::PublicChat);
    stage.join("bob").unwrap();
    let alices = stage.send(message("alice", "a")).unwrap();
    let bobs = stage.send(message("bob", "b")).unwrap();
    assert!(matches!(
        stage.send(redaction("bob", &alices)),
        Err(RoomError::Forbidden(_))
    ));
    stage.send(redaction("bob", &bobs)).unwrap();
    let create = stage.events()[0].pdu.event_id.clone();
    assert!(matches!(
        stage.send(redaction("alice", &create)),
        Err(RoomError::Forbidden(_))
    ));
}

#[test]
fn an_unknown_target_is_no_hindrance() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let unknown = "$0000000000000000000000000000000000000000000"
        .try_into()
        .unwrap();
    let count = stage.log.len();
    let by = stage.redact(redaction("alice", &unknown), None).unwrap();
    assert_eq!(stage.log.len(), count + 1);
    // Others may know it. Here it is part of the graph, and waits.
    assert_eq!(stage.event(&by).verdict, Verdict::Held);
    assert!(!stage.event(&by).is_visible());
    assert_eq!(stage.room.extremities[0].event_id, by);
    assert_eq!(stage.room.early.of(&unknown), [by]);
    assert_eq!(fingerprint(&stage.replayed()), fingerprint(&stage.room));
}

#[test]
fn what_is_redacted_stands_where_the_version_has_it() {
    let json = serde_json::json!({
        "type": "m.room.redaction", "room_id": "!r:x", "sender": "@a:x", "origin_server_ts": 1, "depth": 1,
        "redacts": "$beside", "content": {"redacts": "$inside"},
    });
    let event_id = owned_event_id!("$redaction");
    let pdu = Pdu::parse(event_id, json.to_string().into()).unwrap();
    for version in VERSIONS {
        let in_content = matches!(version, RoomVersionId::V11 | RoomVersionId::V12);
        let wanted = if in_content { "$inside" } else { "$beside" };
        let rules = version.rules().unwrap();
        assert_eq!(
            target_of(&rules, &pdu).unwrap(),
            wanted,
            "version {version}"
        );
    }
}

#[test]
fn a_target_out_of_memory_is_brought_along() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let target = stage.send(message("alice", "secret")).unwrap();
    for _ in 0..RECENT_EVENTS_MAX {
        stage.send(message("alice", "noise")).unwrap();
    }
    assert!(stage.room.event_at_hand(&target).is_none());
    let sequence = stage.event(&target).sequence;
    let brought = read_target(&stage.room.room_id, &stage.log[sequence as usize - 1]);
    assert!(brought.is_some());
    stage.redact(redaction("alice", &target), brought).unwrap();
    assert_eq!(stage.event(&target).pdu.content_json(), "{}");
    stage.send(message("alice", "and on")).unwrap();
}

#[test]
fn redacted_state_stays_in_force_without_its_content() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let name = stage
        .send(state("alice", "m.room.name", "", r#"{"name":"secret"}"#))
        .unwrap();
    stage.send(redaction("alice", &name)).unwrap();
    let event = stage
        .room
        .state_event(&StateEventType::RoomName, "")
        .unwrap();
    assert_eq!(event.pdu.event_id, name);
    assert_eq!(event.pdu.content_json(), "{}");
    let again = stage.send(redaction("alice", &name)).unwrap();
    let event = stage.event(&name);
    let json = std::str::from_utf8(event.pdu.json()).unwrap();
    assert!(!json.contains(again.as_str()), "the first redaction stays");
}

#[test]
fn numbers_of_the_redacted_get_nowhere_else() {
    let mut stage = Stage::of(RoomVersionId::V5, Preset::PublicChat);
    let target = stage
        .send(state("alice", "org.example", "", r#"{"x":1.5}"#))
        .unwrap();
    // Whoever has made the event knows its text.
    let text = stage.event(&target).pdu.json().clone();
    let hash = playhouse_schema::chain::digest(&text);
    let mark: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let by = SendEvent {
        content: format!(r#"{{"{mark}-0-":"boom","reason":"{mark}-0-"}}"#),
        ..redaction("alice", &target)
    };
    stage.send(by).unwrap();
    let json: serde_json::Value = serde_json::from_slice(stage.event(&target).pdu.json()).unwrap();
    assert_eq!(json["content"], serde_json::json!({}));
    let because = &json["unsigned"]["redacted_because"]["content"];
    assert_eq!(because["reason"], format!("{mark}-0-"));
    assert_eq!(because[format!("{mark}-0-")], "boom");
}
