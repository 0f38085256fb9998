//! What a room hears, says and answers, on its way to another node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::record::{
    purge::Purge,
    room::{MembershipTold, ReceiptMoved, Transaction},
};
use ruma::{
    OwnedEventId, OwnedServerName, RoomVersionId, events::room::member::MembershipState,
    owned_event_id, owned_mxc_uri, owned_room_id, owned_server_name,
    power_levels::NotificationPowerLevelsKey,
};

use super::VERSIONS;
use crate::{
    kernel::{
        Unavailable,
        parcel::{ParcelError, crossed, pack},
    },
    room::{
        Outgoing, RoomAnswer, RoomCommand, RoomError, RoomQuery, RoomSignal,
        answer::{
            ContextPage, EventAt, FoundEvent, Introduction, MessagesPage, OwnReceipt, RoomGate,
            RoomSlice, RoomSummary, SpaceChild,
        },
        gaps::PartialState,
        hits::{Hit, Surroundings},
        message::{
            Hero, MemberProfile, Place, Preset, Receive, RoomFace, RoomGlance, SendEvent,
            ThreadPlace,
        },
        peer::{Handed, PeerAnswer, PeerStanding},
        push_facts::push_facts,
        receive::{CheckedPdu, Fate, Occasion, ReceivedEvent, Role},
        redact::read_target,
        testing::{Stage, env, message, user},
    },
};

fn event() -> Bytes {
    Bytes::from_static(b"{\"content\":{}}")
}

fn event_id() -> OwnedEventId {
    owned_event_id!("$event:x")
}

fn server() -> OwnedServerName {
    owned_server_name!("far.example")
}

#[test]
fn an_event_arrives_as_the_log_has_it() {
    for version in VERSIONS {
        let mut stage = Stage::of(version, Preset::PublicChat);
        let transaction = Transaction {
            user_id: user("alice").to_string(),
            device_id: "D".to_owned(),
            transaction_id: "send/1".to_owned(),
        };
        let said = SendEvent {
            transaction: Some(transaction),
            ..message("alice", "hello")
        };
        stage.send(said).unwrap();
        let events = stage.events();
        for event in &events {
            event.note_recorded(7);
        }
        let RoomAnswer::Live(arrived) = crossed(&RoomAnswer::Live(events.clone())) else {
            panic!("events expected");
        };
        assert_eq!(arrived, events);
        for (event, arrived) in events.iter().zip(&arrived) {
            assert_eq!(arrived.pdu.json(), event.pdu.json());
            assert_eq!(arrived.position(), event.position());
            assert_eq!(arrived.recorded_ms(), 7);
            assert_eq!(arrived.transaction, event.transaction);
        }
        assert!(arrived.last().unwrap().transaction.is_some());
    }
}

#[test]
fn events_take_about_their_own_size() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let long = "x".repeat(10_000);
    stage.send(message("alice", &long)).unwrap();
    let events = stage.events();
    let own: usize = events.iter().map(|event| event.pdu.json().len()).sum();
    let told = pack(&RoomAnswer::Live(events.clone())).unwrap().len();
    assert!(told < own + 400 * events.len(), "{told} bytes for {own}");
}

#[test]
fn what_came_from_elsewhere_arrives() {
    let stage = Stage::of(RoomVersionId::V10, Preset::PublicChat);
    let events = stage.events().into_iter().map(|event| ReceivedEvent {
        pdu: CheckedPdu::from(event.pdu.clone()),
        role: Role::Given {
            state: vec![event.pdu.event_id.clone()],
            placement: event.placement,
        },
    });
    let wish = Receive {
        events: events.collect(),
        occasion: Occasion::PartialArrival(vec![server()]),
    };
    crossed(&RoomQuery::Receive {
        version: Some(RoomVersionId::V10),
        wish: Box::new(wish),
    });
}

#[test]
fn a_record_keeps_its_key() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    stage.send(message("alice", "hello")).unwrap();
    let stored = stage.log.last().unwrap();
    let target = read_target(&stage.room.room_id, stored).unwrap();
    let purge = Purge {
        id: "p".to_owned(),
        room_id: stage.room.room_id.to_string(),
        up_to: 7,
        before_ms: 7,
        local_too: true,
        by: "@boss:x".to_owned(),
        at_ms: 8,
    };
    let command = RoomCommand::Purge(Box::new(purge), vec![target.clone()]);
    let RoomCommand::Purge(_, arrived) = crossed(&command) else {
        panic!("a purge expected");
    };
    assert_eq!(arrived, [target]);
    assert!(arrived[0].record.event_id.starts_with('$'));
}

#[test]
fn who_may_notify_everybody_arrives() {
    for version in VERSIONS {
        let stage = Stage::of(version, Preset::PublicChat);
        let facts = push_facts(&stage.room, &user("alice"));
        let answer = RoomAnswer::PushFacts(Box::new(facts));
        let RoomAnswer::PushFacts(arrived) = crossed(&answer) else {
            panic!("facts expected");
        };
        let levels = arrived.power_levels.unwrap();
        let may = |name: &str| {
            let key = NotificationPowerLevelsKey::Room;
            levels.has_sender_notification_permission(&user(name), &key)
        };
        assert!(may("alice") && !may("bob"));
    }
}

#[test]
fn what_was_told_of_a_membership_arrives() {
    let mut stage = Stage::empty(owned_room_id!("!r:far.example"), env());
    let pdu = serde_json::json!({
        "type": "m.room.member", "state_key": user("alice"), "sender": "@bob:far.example", "room_id": "!r:far.example",
        "origin_server_ts": 1, "depth": 1, "content": {"membership": "invite"},
    });
    let record = MembershipTold {
        event_id: "$invite:far.example".to_owned(),
        pdu: pdu.to_string().into_bytes().into(),
        room_version: "10".to_owned(),
        stripped: vec![event().to_vec().into()],
    };
    stage
        .run(RoomCommand::Tell(Box::new(record.clone())))
        .unwrap();
    let told = stage.room.told.get(&user("alice")).cloned();
    let position = told.as_ref().unwrap().event.position();
    let RoomAnswer::Told(Some(arrived)) = crossed(&RoomAnswer::Told(told)) else {
        panic!("a membership expected");
    };
    assert_eq!(arrived.membership(), Some(MembershipState::Invite));
    assert_eq!(arrived.event.position(), position);
    assert_eq!(arrived.record, record);
    crossed(&RoomAnswer::Told(None));
}

#[test]
fn what_clients_are_told_arrives() {
    let slice = RoomSlice {
        timeline: vec![event(); 3],
        limited: true,
        state: vec![event()],
        sent_members: vec![user("bob")],
        summary: Some(RoomSummary {
            heroes: vec![user("bob")],
            joined_count: 2,
            invited_count: 0,
        }),
        receipts: Some(event()),
        face: Some(RoomFace {
            heroes: vec![Hero {
                user_id: user("bob"),
                displayname: Some("Bob".to_owned()),
                avatar_url: Some(owned_mxc_uri!("mxc://x/y")),
            }],
            ..RoomFace::default()
        }),
        num_live: 2,
        member_changes: vec![(user("bob"), MembershipState::Leave)],
        ..RoomSlice::default()
    };
    let page = MessagesPage {
        start: Place::Live(7),
        end: Some(Place::Past(8)),
        wants_past: true,
        chunk: vec![event(); 2],
        state: Vec::new(),
    };
    let context = ContextPage {
        start: Place::Live(7),
        end: Place::Live(9),
        event: event(),
        events_before: vec![event()],
        events_after: Vec::new(),
        state: vec![event()],
    };
    for answer in [
        RoomAnswer::Event(event()),
        RoomAnswer::Slice(Box::new(slice)),
        RoomAnswer::Page(Box::new(page)),
        RoomAnswer::Context(Box::new(context)),
    ] {
        crossed(&answer);
    }
}

#[test]
fn what_is_found_arrives() {
    let hit = Hit {
        sequence: 7,
        event_id: event_id(),
        event: event(),
        sent_ms: 8,
        around: Some(Surroundings {
            start: 6,
            end: 8,
            before: vec![event()],
            after: vec![event()],
            profiles: vec![(user("bob"), MemberProfile::default())],
        }),
    };
    let child = SpaceChild {
        room_id: owned_room_id!("!child:x"),
        via: vec![server()],
        event: event(),
    };
    let at = EventAt {
        found: Some(FoundEvent {
            event_id: event_id(),
            sent_ms: 7,
        }),
        wants_past: true,
    };
    let receipt = OwnReceipt {
        thread_id: Some("main".to_owned()),
        event_id: event_id(),
        sequence: None,
    };
    for answer in [
        RoomAnswer::Hits(vec![hit]),
        RoomAnswer::Children(vec![child]),
        RoomAnswer::Found(at),
        RoomAnswer::Receipts(vec![receipt]),
        RoomAnswer::Marker {
            joined: true,
            at_hand: None,
        },
        RoomAnswer::Glance(Box::new(RoomGlance {
            bump_ms: 7,
            name: Some("n".to_owned()),
            ..RoomGlance::default()
        })),
        RoomAnswer::ThreadPlace(ThreadPlace {
            newest: 9,
            cause: Some(7),
        }),
        RoomAnswer::Draft(Some((event_id(), event()))),
        RoomAnswer::Draft(None),
    ] {
        crossed(&answer);
    }
}

#[test]
fn what_other_servers_are_told_arrives() {
    let gate = RoomGate {
        version: RoomVersionId::V12,
        admits: true,
        inhabited: true,
        peer_inhabits: false,
        extremities: vec![event_id()],
        waiting: vec![user("bob")],
        others: vec![server()],
        partial: Some(Arc::new(PartialState {
            first: 3,
            join: event_id(),
            servers: vec![server()],
        })),
        policy: None,
        parks: true,
    };
    let receipt = ReceiptMoved {
        user_id: user("bob").to_string(),
        receipt_type: "m.read".to_owned(),
        thread_id: None,
        event_id: event_id().to_string(),
        ts_ms: 7,
    };
    let handed = Handed {
        event: event(),
        state: vec![event(); 2],
        auth_chain: vec![event()],
        members_omitted: true,
        servers: vec![server()],
    };
    let standing = PeerStanding {
        joined: true,
        state_events: 7,
        ..PeerStanding::default()
    };
    let state = PeerAnswer::State {
        pdus: vec![event()],
        auth_chain: vec![event()],
    };
    for answer in [
        RoomAnswer::Gate(Box::new(gate)),
        RoomAnswer::Outgoing(Outgoing {
            events: vec![1, 2],
            upto: 7,
            receipts: vec![receipt],
        }),
        RoomAnswer::Servers(BTreeMap::from([(server(), BTreeSet::from([user("bob")]))])),
        RoomAnswer::Introduction(Box::new(Introduction {
            version: RoomVersionId::V11,
            state: vec![event()],
        })),
        RoomAnswer::MayVouch(true),
        RoomAnswer::Received(vec![
            (event_id(), Fate::Accepted),
            (event_id(), Fate::Repeats(event_id())),
        ]),
        RoomAnswer::Peer(Box::new(PeerAnswer::Handed(Box::new(handed)))),
        RoomAnswer::Peer(Box::new(PeerAnswer::Standing(standing))),
        RoomAnswer::Peer(Box::new(state)),
    ] {
        crossed(&answer);
    }
}

#[test]
fn signals_and_refusals_arrive() {
    crossed(&RoomSignal::Typing {
        user_id: user("bob"),
        timeout_ms: 7,
    });
    crossed(&RoomSignal::TypingExpired);
    for error in [
        RoomError::UnknownRoom,
        RoomError::UnsupportedVersion(RoomVersionId::V12),
        RoomError::NotRecommended {
            errcode: "M_FORBIDDEN".to_owned(),
            error: "no".to_owned(),
        },
        RoomError::Unavailable(Unavailable::Timeout),
    ] {
        assert_eq!(crossed(&error), error);
    }
}

#[test]
fn what_a_room_tells_itself_stays_on_its_node() {
    let stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let view = RoomAnswer::View(Arc::new(stage.room), 1);
    for refused in [pack(&view), pack(&RoomQuery::View)] {
        assert!(matches!(refused, Err(ParcelError::Unsendable(_))));
    }
}
