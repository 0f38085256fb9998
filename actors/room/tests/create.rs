use ruma::{CanonicalJsonObject, RoomVersionId, events::StateEventType};

use super::VERSIONS;
use crate::room::{
    RoomCommand, RoomError,
    create::prepare,
    message::{MemberProfile, Preset, StateContent},
    testing::{Stage, env, new_room, state, user},
};

fn types(stage: &Stage) -> Vec<String> {
    stage
        .events()
        .iter()
        .map(|event| event.pdu.event_type.to_string())
        .collect()
}

#[test]
fn events_come_in_the_order_of_the_specification() {
    for version in VERSIONS {
        let mut new = new_room(version.clone(), "alice", Preset::PrivateChat);
        new.alias = Some("#a:localhost".try_into().unwrap());
        new.name = Some("Room".to_owned());
        new.topic = Some("Talk".to_owned());
        new.initial_state = vec![StateContent {
            event_type: StateEventType::RoomEncryption,
            state_key: String::new(),
            content: r#"{"algorithm":"m.megolm.v1.aes-sha2"}"#.to_owned(),
        }];
        new.invites = vec![(user("bob"), MemberProfile::default())];
        new.public = true;
        let stage = Stage::created(new).unwrap();
        let expected = [
            "m.room.create",
            "m.room.member",
            "m.room.power_levels",
            "m.room.canonical_alias",
            "m.room.join_rules",
            "m.room.history_visibility",
            "m.room.guest_access",
            "m.room.encryption",
            "m.room.name",
            "m.room.topic",
            "m.room.member",
        ];
        assert_eq!(types(&stage), expected, "version {version}");
        assert!(stage.room.public);
        assert_eq!(stage.room.version, Some(version));
        assert_eq!((stage.room.joined_count, stage.room.invited_count), (1, 1));
        assert_eq!(stage.room.extremities.len(), 1);
        assert_eq!(stage.room.extremities[0].depth, 11);
        let topic = stage.content(StateEventType::RoomTopic, "");
        assert_eq!(topic["m.topic"]["m.text"][0]["body"], "Talk");
    }
}

#[test]
fn the_create_event_follows_the_version() {
    let content = |version: RoomVersionId| {
        let stage = Stage::of(version, Preset::PublicChat);
        (
            stage.content(StateEventType::RoomCreate, ""),
            stage.room.room_id.clone(),
            stage.events()[0].pdu.clone(),
        )
    };
    let (v10, room_id, _) = content(RoomVersionId::V10);
    assert_eq!(v10["creator"], "@alice:localhost");
    assert_eq!(v10["room_version"], "10");
    assert!(room_id.as_str().ends_with(":localhost"));
    let (v11, _, pdu) = content(RoomVersionId::V11);
    assert!(v11.get("creator").is_none());
    assert!(pdu.room_id.is_some());
    let (_, room_id, pdu) = content(RoomVersionId::V12);
    assert_eq!(room_id.as_str()[1..], pdu.event_id.as_str()[1..]);
    assert!(pdu.room_id.is_none());
    let json: CanonicalJsonObject = serde_json::from_slice(pdu.json()).unwrap();
    assert!(!json.contains_key("room_id") && !json.contains_key("event_id"));
}

#[test]
fn creators_of_version_12_stand_above_the_power_levels() {
    let mut new = new_room(RoomVersionId::V12, "alice", Preset::TrustedPrivateChat);
    new.invites = vec![
        (user("bob"), MemberProfile::default()),
        (user("carol"), MemberProfile::default()),
    ];
    new.creation_content = Some(
        r#"{"additional_creators":["@bob:localhost","@dave:localhost"],"type":"m.space","room_version":"1"}"#
            .to_owned(),
    );
    let mut stage = Stage::created(new).unwrap();
    let create = stage.content(StateEventType::RoomCreate, "");
    assert_eq!(
        create["additional_creators"],
        serde_json::json!(["@bob:localhost", "@dave:localhost", "@carol:localhost"])
    );
    assert_eq!(
        (&create["type"], &create["room_version"]),
        (&"m.space".into(), &"12".into())
    );
    let power = stage.content(StateEventType::RoomPowerLevels, "");
    assert_eq!(power["users"], serde_json::json!({}));
    assert_eq!(power["events"]["m.room.tombstone"], 150);
    stage.join("carol").unwrap();
    stage
        .send(state(
            "carol",
            "m.room.tombstone",
            "",
            r#"{"body":"x","replacement_room":"!y"}"#,
        ))
        .unwrap();
}

#[test]
fn trusted_private_chats_before_version_12_share_the_power() {
    let mut new = new_room(RoomVersionId::V11, "alice", Preset::TrustedPrivateChat);
    new.invites = vec![(user("bob"), MemberProfile::default())];
    let stage = Stage::created(new).unwrap();
    let power = stage.content(StateEventType::RoomPowerLevels, "");
    assert_eq!(
        power["users"],
        serde_json::json!({ "@alice:localhost": 100, "@bob:localhost": 100 })
    );
    let create = stage.content(StateEventType::RoomCreate, "");
    assert!(create.get("additional_creators").is_none());
}

#[test]
fn initial_state_takes_the_place_of_the_preset() {
    let mut new = new_room(RoomVersionId::V11, "alice", Preset::PrivateChat);
    new.initial_state = vec![StateContent {
        event_type: StateEventType::RoomHistoryVisibility,
        state_key: String::new(),
        content: r#"{"history_visibility":"joined"}"#.to_owned(),
    }];
    let stage = Stage::created(new).unwrap();
    let set = types(&stage)
        .iter()
        .filter(|event_type| *event_type == "m.room.history_visibility")
        .count();
    assert_eq!(set, 1);
    let content = stage.content(StateEventType::RoomHistoryVisibility, "");
    assert_eq!(content["history_visibility"], "joined");
}

#[test]
fn a_room_that_cannot_be_made_is_not_made() {
    let create = |change: fn(&mut crate::room::message::NewRoom)| {
        let mut new = new_room(RoomVersionId::V12, "alice", Preset::PrivateChat);
        change(&mut new);
        Stage::created(new).err().unwrap()
    };
    let powerless = create(|new| {
        new.version = RoomVersionId::V11;
        new.name = Some("Room".to_owned());
        new.power_level_content_override = Some(r#"{"users":{}}"#.to_owned());
    });
    assert!(matches!(powerless, RoomError::InvalidRoomState(_)));
    let creator_listed = create(|new| {
        new.power_level_content_override = Some(r#"{"users":{"@alice:localhost":100}}"#.to_owned());
    });
    assert!(matches!(creator_listed, RoomError::BadJson(_)));
    let float = create(|new| new.creation_content = Some(r#"{"a":1.5}"#.to_owned()));
    assert!(matches!(float, RoomError::BadJson(_)));
    let creators = create(|new| {
        new.creation_content = Some(r#"{"additional_creators":["bob"]}"#.to_owned());
    });
    assert!(matches!(creators, RoomError::BadJson(_)));
    let oneself = create(|new| new.invites = vec![(user("alice"), MemberProfile::default())]);
    assert!(matches!(oneself, RoomError::InvalidRoomState(_)));
    let version = create(|new| new.version = "org.example.none".try_into().unwrap());
    assert!(matches!(version, RoomError::UnsupportedVersion(_)));
}

#[test]
fn a_room_is_created_once_and_under_its_own_name() {
    let env = env();
    let (_, create) = prepare(
        &env,
        new_room(RoomVersionId::V12, "alice", Preset::PublicChat),
    )
    .unwrap();
    let command = RoomCommand::Create(Box::new(create));
    let mut other = Stage::empty("!other:localhost".try_into().unwrap(), env);
    assert!(matches!(
        other.run(command.clone()),
        Err(RoomError::BadJson(_))
    ));
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    assert!(matches!(
        stage.run(command),
        Err(RoomError::InvalidRoomState(_))
    ));
}

#[test]
fn rooms_alike_made_in_one_moment_are_two() {
    struct Still;
    impl crate::env::Clock for Still {
        fn now_ms(&self) -> u64 {
            7
        }
    }
    let env = crate::env::Env {
        clock: std::sync::Arc::new(Still),
        ..env()
    };
    for version in [RoomVersionId::V11, RoomVersionId::V12] {
        let make = || {
            let new = new_room(version.clone(), "alice", Preset::PublicChat);
            prepare(&env, new).unwrap().0
        };
        assert_ne!(make(), make());
    }
}
