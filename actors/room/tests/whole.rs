//! What must hold after any commands: the fold gives the live state again, snapshots too, and every event verifies.

use proptest::prelude::*;
use ruma::{
    CanonicalJsonObject, OwnedEventId, RoomVersionId,
    events::{TimelineEventType, receipt::ReceiptType, room::member::MembershipState},
    signatures::{PublicKeyMap, PublicKeySet, Verified, verify_event},
};

use super::VERSIONS;
use crate::{
    kernel::Domain as _,
    room::{
        Room, RoomCommand,
        build::{hashed_event_id, reference_hash},
        event::RoomEvent,
        message::{MembershipAction as Action, MoveReceipt, Preset, SendEvent},
        snapshot,
        state::membership_of,
        testing::{Stage, change, fingerprint, message, redaction, state, user},
    },
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

#[derive(Clone, Debug)]
enum Step {
    Message(usize),
    Repeat(usize, u8),
    Name(usize, u8),
    JoinRule(usize, usize),
    Power(usize, usize, i8),
    Member(usize, usize, Action),
    Redact(usize, prop::sample::Index),
    Receipt(usize, prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..USERS.len();
    let action = prop_oneof![
        4 => Just(Action::Join),
        1 => Just(Action::Leave),
        1 => Just(Action::Kick),
        1 => Just(Action::Ban),
        1 => Just(Action::Unban),
        1 => Just(Action::Knock),
        1 => any::<bool>().prop_map(|is_direct| Action::Invite { is_direct }),
    ];
    let step = prop_oneof![
        3 => who.clone().prop_map(Step::Message),
        1 => (who.clone(), 0..3u8).prop_map(|(who, id)| Step::Repeat(who, id)),
        1 => (who.clone(), 0..3u8).prop_map(|(who, name)| Step::Name(who, name)),
        1 => (who.clone(), 0..4usize).prop_map(|(who, rule)| Step::JoinRule(who, rule)),
        1 => (who.clone(), who.clone(), any::<i8>()).prop_map(|(who, whom, n)| Step::Power(who, whom, n)),
        6 => (who.clone(), who.clone(), action).prop_map(|(who, whom, a)| Step::Member(who, whom, a)),
        2 => (who.clone(), any::<prop::sample::Index>()).prop_map(|(who, i)| Step::Redact(who, i)),
        1 => (who, any::<prop::sample::Index>()).prop_map(|(who, i)| Step::Receipt(who, i)),
    ];
    prop::collection::vec(step, 1..60)
}

fn pick(stage: &Stage, index: prop::sample::Index) -> OwnedEventId {
    let events = stage.events();
    events[index.index(events.len())].pdu.event_id.clone()
}

/// Refusals are fine: what counts is what is left behind.
fn perform(stage: &mut Stage, step: Step) {
    let command = match step {
        Step::Message(who) => RoomCommand::SendEvent(Box::new(message(USERS[who], "hi"))),
        Step::Repeat(who, id) => RoomCommand::SendEvent(Box::new(SendEvent {
            transaction: Some(playhouse_schema::record::room::Transaction {
                user_id: USERS[who].to_owned(),
                device_id: String::new(),
                transaction_id: format!("send/{id}"),
            }),
            ..message(USERS[who], "again")
        })),
        Step::Name(who, name) => RoomCommand::SendEvent(Box::new(state(
            USERS[who],
            "m.room.name",
            "",
            &format!(r#"{{"name":"{name}"}}"#),
        ))),
        Step::JoinRule(who, rule) => {
            let rule = ["public", "invite", "knock", "restricted"][rule];
            RoomCommand::SendEvent(Box::new(state(
                USERS[who],
                "m.room.join_rules",
                "",
                &format!(r#"{{"join_rule":"{rule}"}}"#),
            )))
        }
        Step::Power(who, whom, level) => RoomCommand::SendEvent(Box::new(state(
            USERS[who],
            "m.room.power_levels",
            "",
            &format!(
                r#"{{"users":{{"{}":100,"{}":{level}}},"events":{{"m.room.name":10}}}}"#,
                user("alice"),
                user(USERS[whom])
            ),
        ))),
        Step::Member(who, whom, action) => {
            let own = matches!(action, Action::Join | Action::Leave | Action::Knock);
            let whom = if own { who } else { whom };
            let mut change = change(USERS[who], USERS[whom], action);
            change.restriction_met = true;
            RoomCommand::ChangeMembership(Box::new(change))
        }
        Step::Redact(who, index) => {
            RoomCommand::SendEvent(Box::new(redaction(USERS[who], &pick(stage, index))))
        }
        Step::Receipt(who, index) => RoomCommand::MoveReceipts(vec![MoveReceipt {
            user_id: user(USERS[who]),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id: pick(stage, index),
            ts_ms: None,
            found: true,
        }]),
    };
    let _ = stage.run(command);
}

fn counts(room: &Room, membership: MembershipState) -> u64 {
    room.current
        .iter()
        .filter(|((event_type, _), _)| *event_type == TimelineEventType::RoomMember)
        .filter(|(_, event)| membership_of(event).as_ref() == Some(&membership))
        .count() as u64
}

fn verify(stage: &Stage, event: &RoomEvent, keys: &PublicKeyMap) {
    let rules = stage.room.rules().unwrap();
    let text = std::str::from_utf8(event.pdu.json()).unwrap();
    let object: CanonicalJsonObject = serde_json::from_str(text).unwrap();
    let verified = verify_event(keys, &object, rules).unwrap();
    let is_redacted = text.contains("redacted_because");
    assert!(is_redacted || verified == Verified::All, "{text}");
    if !rules.event_format.require_event_id {
        let hash = reference_hash(text, rules).unwrap();
        assert_eq!(hashed_event_id(&hash, rules), event.pdu.event_id);
        let theirs = ruma::signatures::reference_hash(&object, rules).unwrap();
        assert_eq!(event.pdu.event_id.as_str()[1..], theirs);
    }
}

fn keys(stage: &Stage) -> PublicKeyMap {
    let key = stage.env.identity.signer.public_key().to_vec();
    let set: PublicKeySet = [("ed25519:1".to_owned(), ruma::serde::Base64::new(key))].into();
    [(stage.env.server_name().to_string(), set)].into()
}

fn check(stage: &Stage) {
    let room = &stage.room;
    assert!(!room.extremities.is_empty());
    assert_eq!(room.joined_count, counts(room, MembershipState::Join));
    assert_eq!(room.invited_count, counts(room, MembershipState::Invite));
    assert_eq!(fingerprint(&stage.replayed()), fingerprint(room));
    let keys = keys(stage);
    for event in stage.events() {
        verify(stage, &event, &keys);
    }
}

/// As the kernel wakes a room: snapshot, its events from the log, the records after it.
fn wake(stage: &Stage, bytes: bytes::Bytes, sequence: u64) -> Room {
    let snapshot = playhouse_schema::port::Snapshot {
        sequence,
        version: Room::SNAPSHOT_VERSION,
        payload: bytes,
    };
    let entity = playhouse_schema::address::Entity::room(stage.room.room_id.as_str());
    let mut room = Room::from_snapshot(&entity, &snapshot).unwrap();
    let wanted = snapshot::wanted(&room);
    let stored = wanted
        .iter()
        .map(|sequence| stage.log[*sequence as usize - 1].clone())
        .collect();
    snapshot::put_events(&mut room, stored).unwrap();
    stage.replayed_onto(room)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_leave_a_sound_room(
        version in prop::sample::select(VERSIONS.to_vec()),
        before in steps(),
        after in steps(),
    ) {
        let mut stage = Stage::of(version, Preset::PublicChat);
        for step in before {
            perform(&mut stage, step);
        }
        let (bytes, sequence) = (stage.room.to_snapshot(), stage.room.sequence);
        for step in after {
            perform(&mut stage, step);
        }
        check(&stage);
        let woken = wake(&stage, bytes, sequence);
        prop_assert_eq!(fingerprint(&woken), fingerprint(&stage.room));
    }
}

#[test]
fn room_versions_are_all_served() {
    for version in 1..=12 {
        let version = RoomVersionId::try_from(version.to_string()).unwrap();
        let mut stage = Stage::of(version, Preset::PrivateChat);
        stage.invite("alice", "bob").unwrap();
        stage.join("bob").unwrap();
        stage.send(message("bob", "hi")).unwrap();
        check(&stage);
    }
}
