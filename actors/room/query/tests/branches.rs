//! A room whose states branched and were resolved.

use playhouse_schema::record::room::{StateChange, StateId, StateSet};

use super::*;

const TOPIC: &str = "m.room.topic";

/// Topic and name are set; on another branch the topic is set to something else; the resolution takes that topic and drops the name.
struct Branched {
    world: World,
    /// Positions and sequences worth talking about.
    before: Position,
    topics: [Sequence; 2],
    last: Sequence,
}

fn branched(window: usize) -> Branched {
    let mut world = World::new();
    let fork = world.member("bob", "join");
    let before = world.head();
    let one = world.state("alice", TOPIC, "", json!({"topic": "one"}));
    let name = world.state("alice", "m.room.name", "", json!({"name": "n"}));
    let two = branch(&mut world, fork);
    world.write(&RoomRecord::StateSet(StateSet {
        base: name,
        changes: [(TOPIC, Some(two)), ("m.room.name", None)]
            .map(|(event_type, event)| StateChange {
                event_type: event_type.to_owned(),
                state_key: String::new(),
                event,
            })
            .to_vec(),
        current: true,
    }));
    let last = world.message("alice");
    world.shrink(window);
    Branched {
        world,
        before,
        topics: [one, two],
        last,
    }
}

/// A topic on top of an older state.
fn branch(world: &mut World, before: StateId) -> Sequence {
    let sequence = world.next();
    let pdu = json!({
        "room_id": "!room:x", "sender": user("bob"), "origin_server_ts": 1_000_000, "depth": 9,
        "prev_events": [], "auth_events": [], "type": TOPIC, "state_key": "", "content": {"topic": "two"},
    });
    world.write(&RoomRecord::Event(EventRecord {
        event_id: id(sequence),
        pdu: pdu.to_string().into_bytes().into(),
        before,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    }))
}

fn types(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect()
}

#[test]
fn the_state_of_the_past_is_found_along_the_branches() {
    for window in [64, 2, 1] {
        let room = branched(window);
        let world = &room.world;
        assert!(world.room.forked);
        let now = world
            .events_of(RoomQuery::State {
                reader: reader("alice"),
            })
            .unwrap();
        assert!(now.iter().any(|event| sequence(event) == room.topics[1]));
        assert!(!types(&now).contains(&"m.room.name"));
        let context = |event: Sequence| {
            let query = RoomQuery::Context(Box::new(crate::room::message::ContextQuery {
                reader: reader("alice"),
                event_id: id(event).try_into().unwrap(),
                limit: 0,
                filter: None,
            }));
            match world.ask(query).unwrap() {
                RoomAnswer::Context(page) => sequences(&page.state),
                other => panic!("{other:?}"),
            }
        };
        let name = room.topics[0] + 1;
        let at_name = context(name);
        assert!(at_name.contains(&room.topics[0]) && at_name.contains(&name));
        let at_branch = context(room.topics[1]);
        assert!(at_branch.contains(&room.topics[1]) && !at_branch.contains(&name));
        let at_last = context(room.last);
        assert!(at_last.contains(&room.topics[1]) && !at_last.contains(&name));
    }
}

#[test]
fn a_slice_tells_what_the_resolution_chose() {
    for window in [64, 2, 1] {
        let room = branched(window);
        let mut query = slice_of("alice", Some(room.before), room.world.head());
        query.state_after = true;
        let state = sequences(&room.world.slice(query.clone()).state);
        assert_eq!(state, [room.topics[1]]);
        // A timeline of one event leaves both topics out; the one in force is told.
        query.state_after = false;
        query.filter = Some(json!({"timeline": {"limit": 1}}).to_string());
        let slice = room.world.slice(query);
        assert_eq!(sequences(&slice.timeline), [room.last]);
        assert!(slice.limited);
        assert_eq!(sequences(&slice.state), [room.topics[1]]);
    }
}
