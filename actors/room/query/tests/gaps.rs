//! What a sync shows when members become known that were left out of the state by which somebody came in.

use playhouse_schema::record::room::{StateChange, StateCompleted, StatePartial, StateSet};
use ruma::events::TimelineEventType;

use super::*;

/// The record of the state that was told.
const FIRST: Sequence = 3;

/// An event that is only part of a state.
fn outlier(world: &mut World, name: &str, (event_type, key): (&str, &str), content: Value) {
    let sequence = world.next();
    let pdu = json!({
        "room_id": "!room:x", "sender": user(name), "origin_server_ts": 1_000_000 + sequence,
        "depth": 1, "prev_events": [], "auth_events": [],
        "type": event_type, "state_key": key, "content": content,
    });
    world.write(&RoomRecord::Event(EventRecord {
        event_id: id(sequence),
        pdu: pdu.to_string().into_bytes().into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Outlier,
        transaction: None,
        from: None,
    }));
}

fn member_of_old(world: &mut World, name: &str) -> StateChange {
    let sequence = world.next();
    let user_id = user(name);
    let content = json!({"membership": "join", "displayname": name});
    outlier(world, name, ("m.room.member", user_id.as_str()), content);
    StateChange {
        event_type: "m.room.member".to_owned(),
        state_key: user_id.to_string(),
        event: Some(sequence),
    }
}

/// Alice's room, into which bob has come: carol, dave and erin are in it, but that is not known.
fn world_with_gaps() -> World {
    let mut world = World::empty();
    let content = json!({"room_version": "10", "creator": "@alice:x"});
    outlier(&mut world, "alice", ("m.room.create", ""), content);
    let create = StateChange {
        event_type: "m.room.create".to_owned(),
        state_key: String::new(),
        event: Some(1),
    };
    let alice = member_of_old(&mut world, "alice");
    let first = world.write(&RoomRecord::StateSet(StateSet {
        base: 0,
        changes: vec![create, alice],
        current: true,
    }));
    assert_eq!(first, FIRST);
    let join = id(first + 2);
    world.write(&RoomRecord::StatePartial(StatePartial {
        first,
        join,
        servers: vec!["x".to_owned()],
    }));
    world.member("bob", "join");
    world
}

/// The other members become known; who among them has changed meanwhile has been replaced.
fn complete(world: &mut World) {
    let members: Vec<_> = ["carol", "dave", "erin"]
        .into_iter()
        .map(|name| member_of_old(world, name))
        .collect();
    let is_known = |member: &StateChange| {
        let key = (TimelineEventType::RoomMember, member.state_key.clone());
        world.room.current.contains_key(&key)
    };
    let (replaced, changes): (Vec<_>, Vec<_>) = members.into_iter().partition(is_known);
    world.write(&RoomRecord::StateCompleted(StateCompleted {
        first: FIRST,
        changes,
        replaced,
    }));
    assert!(world.room.partial().is_none());
}

/// What bob is told; with lazy loading his client knows alice.
fn told(world: &World, since: Position, lazy: bool) -> RoomSlice {
    let mut query = slice_of("bob", Some(since), world.head());
    if lazy {
        query.filter = Some(json!({"state": {"lazy_load_members": true}}).to_string());
        query.known_members = vec![user("alice")];
    }
    world.slice(query)
}

/// State keys and memberships.
fn members(events: &[Bytes]) -> Vec<(String, String)> {
    let events = events.iter().map(|event| parse(event));
    let members = events.filter(|event| event["type"] == "m.room.member");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    members
        .map(|event| {
            (
                text(&event["state_key"]),
                text(&event["content"]["membership"]),
            )
        })
        .collect()
}

fn joined(names: &[&str]) -> Vec<(String, String)> {
    let names = names.iter();
    names
        .map(|name| (user(name).to_string(), "join".to_owned()))
        .collect()
}

fn is_silent(slice: &RoomSlice) -> bool {
    slice.state.is_empty() && slice.timeline.is_empty() && slice.member_changes.is_empty()
}

#[test]
fn who_becomes_known_is_told_once() {
    for lazy in [false, true] {
        let mut world = world_with_gaps();
        let since = world.head();
        assert!(is_silent(&told(&world, since, lazy)));
        complete(&mut world);
        assert_eq!(world.room.joined_count, 5);
        let slice = told(&world, since, lazy);
        assert!(slice.timeline.is_empty() && !slice.limited);
        assert_eq!(members(&slice.state), joined(&["carol", "dave", "erin"]));
        assert_eq!(slice.state.len(), 3, "nothing else");
        assert_eq!(slice.summary.unwrap().joined_count, 5);
        assert_eq!(slice.member_changes.len(), 3);
        let next = world.head();
        assert!(is_silent(&told(&world, next, lazy)), "lazy: {lazy}");
        // What happens after that does not bring them again.
        let sent = world.message("alice");
        let slice = told(&world, next, lazy);
        assert_eq!(sequences(&slice.timeline), [sent]);
        assert!(slice.state.is_empty());
        // Who has slept through all of it is told of them as well.
        let slice = told(&world, since, lazy);
        assert_eq!(sequences(&slice.timeline), [sent]);
        assert_eq!(members(&slice.state), joined(&["carol", "dave", "erin"]));
    }
}

#[test]
fn an_interval_may_hold_events_on_both_sides() {
    for (lazy, after) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut world = world_with_gaps();
        let since = world.head();
        let before = world.message("alice");
        complete(&mut world);
        let behind = world.message("alice");
        let mut query = slice_of("bob", Some(since), world.head());
        query.state_after = after;
        if lazy {
            query.filter = Some(json!({"state": {"lazy_load_members": true}}).to_string());
            query.known_members = vec![user("alice")];
        }
        let slice = world.slice(query);
        assert_eq!(sequences(&slice.timeline), [before, behind]);
        let expected = joined(&["carol", "dave", "erin"]);
        assert_eq!(
            members(&slice.state),
            expected,
            "lazy: {lazy}, after: {after}"
        );
    }
}

#[test]
fn what_changed_meanwhile_is_told_as_it_is() {
    for lazy in [false, true] {
        let mut world = world_with_gaps();
        let since = world.head();
        let leave = world.member("erin", "leave");
        complete(&mut world);
        assert_eq!(world.room.joined_count, 4);
        let slice = told(&world, since, lazy);
        assert_eq!(sequences(&slice.timeline), [leave]);
        let newcomers = members(&slice.state).into_iter();
        let newcomers: Vec<_> = newcomers
            .filter(|(user_id, _)| *user_id != "@erin:x")
            .collect();
        assert_eq!(newcomers, joined(&["carol", "dave"]));
        // With lazy loading the state before the timeline may name its sender, as she was then; otherwise the timeline tells.
        if !lazy {
            assert_eq!(slice.state.len(), 2);
        }
        assert!(is_silent(&told(&world, world.head(), lazy)));
        // Where the timeline does not reach back to it, the state tells the newer value.
        for _ in 0..30 {
            world.message("alice");
        }
        let slice = told(&world, since, lazy);
        assert!(slice.limited);
        let mut expected = joined(&["carol", "dave"]);
        expected.push(("@erin:x".to_owned(), "leave".to_owned()));
        assert_eq!(members(&slice.state), expected, "lazy: {lazy}");
    }
}
