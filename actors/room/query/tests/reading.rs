//! State, members, events and what surrounds them.

use ruma::RoomVersionId;

use super::*;
use crate::room::message::{ContextPage, ContextQuery, Place};

fn members_at(world: &World, name: &str, at: Option<TimelinePoint>) -> Vec<Sequence> {
    let query = RoomQuery::Members {
        reader: reader(name),
        at,
        membership: None,
        not_membership: None,
    };
    let mut members: Vec<_> = world
        .events_of(query)
        .unwrap()
        .iter()
        .map(sequence)
        .collect();
    members.sort_unstable();
    members
}

#[test]
fn members_as_of_a_point() {
    let mut world = World::new();
    let bob = world.member("bob", "join");
    let then = world.head();
    world.message("bob");
    let renamed = world.member("bob", "join");
    let carol = world.member("carol", "join");
    for forked in [false, true] {
        world.room.forked = forked;
        assert_eq!(members_at(&world, "bob", None), [2, renamed, carol]);
        let at = Some(TimelinePoint::Position(then));
        assert_eq!(members_at(&world, "bob", at), [2, bob]);
        let at = Some(TimelinePoint::Sequence(bob - 1));
        assert_eq!(members_at(&world, "bob", at), [2]);
    }
    world.member("carol", "ban");
    let filtered = |membership: Option<&str>, not: Option<&str>| {
        let query = RoomQuery::Members {
            reader: reader("bob"),
            at: None,
            membership: membership.map(Into::into),
            not_membership: not.map(Into::into),
        };
        world.events_of(query).unwrap().len()
    };
    assert_eq!(filtered(Some("ban"), None), 1);
    assert_eq!(filtered(None, Some("ban")), 2);
    assert_eq!(filtered(Some("ban"), Some("ban")), 0);
}

#[test]
fn former_members_see_the_state_of_their_departure() {
    for (forked, window) in [(false, 64), (false, 1), (true, 64), (true, 1)] {
        let mut world = World::new();
        let topic = world.state("alice", "m.room.topic", "", json!({"topic": "then"}));
        world.member("bob", "join");
        let leave = world.member("bob", "leave");
        world.state("alice", "m.room.topic", "", json!({"topic": "now"}));
        world.member("carol", "join");
        world.shrink(window);
        world.room.forked = forked;
        assert_eq!(members_at(&world, "bob", None), [2, leave]);
        let state = world
            .events_of(RoomQuery::State {
                reader: reader("bob"),
            })
            .unwrap();
        assert!(state.iter().any(|event| sequence(event) == topic));
        assert!(state.iter().all(|event| event["room_id"] == "!room:x"));
        let query = RoomQuery::StateEvent {
            reader: reader("bob"),
            event_type: "m.room.topic".into(),
            state_key: String::new(),
            content_only: true,
        };
        match world.ask(query).unwrap() {
            RoomAnswer::Event(content) => assert_eq!(parse(&content), json!({"topic": "then"})),
            other => panic!("{other:?}"),
        }
        match world.ask(RoomQuery::JoinedMembers {
            reader: Some(reader("bob")),
        }) {
            Ok(RoomAnswer::Joined(joined)) => assert_eq!(joined[0].0, user("alice")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn redacted_events_tell_why() {
    let mut world = World::new();
    let because = json!({"type": "m.room.redaction", "event_id": "$r"});
    let redacted = world.event(
        "alice",
        json!({"type": "m.room.message", "content": {}, "unsigned": {"redacted_because": because}}),
    );
    let slice = world.slice(slice_of("alice", None, world.head()));
    let event = parse(slice.timeline.last().unwrap());
    assert_eq!(sequence(&event), redacted);
    assert_eq!(event["unsigned"]["redacted_because"], because);
}

#[test]
fn redactions_name_their_target_twice() {
    let mut world = World::new();
    world.event(
        "alice",
        json!({"type": "m.room.redaction", "redacts": "$a", "content": {}}),
    );
    world.event(
        "alice",
        json!({"type": "m.room.redaction", "redacts": "$b", "content": {"reason": "r"}}),
    );
    world.event(
        "alice",
        json!({"type": "m.room.redaction", "content": {"redacts": "$c"}}),
    );
    let slice = world.slice(slice_of("alice", None, world.head()));
    let redactions = slice.timeline.iter().map(|event| parse(event)).skip(2);
    for (event, target) in redactions.zip(["$a", "$b", "$c"]) {
        assert_eq!(event["redacts"], target);
        assert_eq!(event["content"]["redacts"], target);
    }
}

fn context(world: &World, name: &str, event: Sequence, limit: usize) -> ContextPage {
    let query = RoomQuery::Context(Box::new(ContextQuery {
        reader: reader(name),
        event_id: id(event).try_into().unwrap(),
        limit,
        filter: Some(json!({"lazy_load_members": true}).to_string()),
    }));
    match world.ask(query).unwrap() {
        RoomAnswer::Context(page) => *page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn context_surrounds_an_event() {
    let mut world = World::new();
    world.member("bob", "join");
    let messages: Vec<_> = (0..9).map(|_| world.message("bob")).collect();
    world.state("alice", "m.room.topic", "", json!({"topic": "later"}));
    for window in [64, 3] {
        world.shrink(window);
        let page = context(&world, "alice", messages[4], 4);
        assert_eq!(sequences(&page.events_before), [messages[3], messages[2]]);
        assert_eq!(sequences(&page.events_after), [messages[5], messages[6]]);
        assert_eq!(
            (page.start, page.end),
            (Place::Live(messages[2] - 1), Place::Live(messages[6]))
        );
        let state: Vec<_> = page.state.iter().map(|event| parse(event)).collect();
        let of = |event_type: &str| {
            state
                .iter()
                .filter(|event| event["type"] == event_type)
                .count()
        };
        assert_eq!(
            (of("m.room.member"), of("m.room.topic"), of("m.room.create")),
            (1, 0, 1)
        );
        let alone = context(&world, "alice", messages[4], 0);
        assert!(alone.events_before.is_empty() && alone.events_after.is_empty());
        assert_eq!(
            (alone.start, alone.end),
            (Place::Live(messages[4] - 1), Place::Live(messages[4]))
        );
    }
}

#[test]
fn access_stripped_state_and_upgrade() {
    let mut world = World::new();
    world.state("alice", "m.room.join_rules", "", json!({
        "join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": "!other:x"}],
    }));
    world.state("alice", "m.room.name", "", json!({"name": "n"}));
    world.state("alice", "org.example", "", json!({}));
    world.member("bob", "invite");
    let RoomAnswer::Access(access) = world
        .ask(RoomQuery::Access {
            user_id: user("bob"),
        })
        .unwrap()
    else {
        panic!("access expected")
    };
    assert_eq!(access.version, RoomVersionId::V10);
    assert_eq!(access.membership, Some("invite".into()));
    assert_eq!(access.allowed_rooms, ["!other:x"]);
    assert_eq!(access.name.as_deref(), Some("n"));
    assert_eq!(access.servers, ["x"]);
    assert!(!access.world_readable && !access.may_set_aliases);
    let stripped = world
        .events_of(RoomQuery::Stripped {
            user_id: user("bob"),
        })
        .unwrap();
    let types: Vec<_> = stripped
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let expected = [
        "m.room.create",
        "m.room.name",
        "m.room.join_rules",
        "m.room.member",
    ];
    assert_eq!(types, expected);
    assert!(
        stripped
            .iter()
            .all(|event| event.as_object().unwrap().len() == 4)
    );
    let upgrade = |name| {
        world.events_of(RoomQuery::StateForUpgrade {
            user_id: user(name),
        })
    };
    assert_eq!(upgrade("alice").unwrap().len(), 2);
    assert!(matches!(upgrade("bob"), Err(RoomError::Forbidden(_))));
}

#[test]
fn live_events_and_own_receipts() {
    let mut world = World::new();
    let messages: Vec<_> = (0..5).map(|_| world.message("alice")).collect();
    world.receipt("alice", "m.read", None, messages[1]);
    world.receipt("alice", "m.read", Some("main"), messages[3]);
    world.shrink(1);
    let live = world.ask(RoomQuery::LiveAfter {
        sequence: messages[0],
        limit: 3,
    });
    match live.unwrap() {
        RoomAnswer::Live(events) => {
            let live: Vec<_> = events.iter().map(|event| event.sequence).collect();
            assert_eq!(live, messages[1..4]);
        }
        other => panic!("{other:?}"),
    }
    match world
        .ask(RoomQuery::OwnReceipts {
            user_id: user("alice"),
        })
        .unwrap()
    {
        RoomAnswer::Receipts(receipts) => {
            let own: Vec<_> = receipts
                .iter()
                .map(|receipt| (receipt.thread_id.as_deref(), receipt.sequence.unwrap()))
                .collect();
            assert_eq!(own, [(None, messages[1]), (Some("main"), messages[3])]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn related_events_are_those_that_the_reader_sees() {
    let mut world = World::new();
    world.visibility("joined");
    let hidden = world.message("alice");
    world.member("bob", "join");
    let seen = world.message("alice");
    for window in [64, 1] {
        world.shrink(window);
        let query = RoomQuery::Related {
            reader: reader("bob"),
            event_ids: vec![
                id(hidden).try_into().unwrap(),
                id(seen).try_into().unwrap(),
                id(999).try_into().unwrap(),
            ],
        };
        match world.ask(query).unwrap() {
            RoomAnswer::Live(related) => {
                let related: Vec<_> = related.iter().map(|event| event.sequence).collect();
                assert_eq!(related, [seen]);
            }
            other => panic!("{other:?}"),
        }
    }
}
