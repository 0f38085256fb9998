//! What a sync shows.

use super::*;

fn lazy() -> Option<String> {
    Some(json!({"state": {"lazy_load_members": true}}).to_string())
}

fn members(events: &[Bytes]) -> Vec<String> {
    let members = events.iter().map(|event| parse(event));
    members
        .filter(|event| event["type"] == "m.room.member")
        .map(|event| event["state_key"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_common_case_reads_nothing() {
    let mut world = World::new();
    world.member("bob", "join");
    for _ in 0..100 {
        world.message("bob");
    }
    let since = world.head();
    let sent = world.message("alice");
    let name = world.state("alice", "m.room.name", "", json!({"name": "n"}));
    let mut query = slice_of("bob", Some(since), world.head());
    query.filter = lazy();
    query.known_members = vec![user("alice")];
    let slice = world.slice(query);
    assert_eq!(world.reads(), 0);
    assert_eq!(sequences(&slice.timeline), [sent, name]);
    assert_eq!((slice.limited, slice.prev_batch), (false, sent - 1));
    assert!(slice.state.is_empty());
    let first = parse(&slice.timeline[0]);
    assert!(first.get("room_id").is_none());
    assert_eq!(first["unsigned"]["membership"], "join");
    assert!(first["unsigned"].get("transaction_id").is_none());
    assert_eq!(first["unsigned"]["age"], NOW_MS - 1_000_000 - sent);
}

#[test]
fn what_a_state_event_replaced_is_read_once() {
    let mut world = World::new();
    let old = world.state("alice", "m.room.topic", "", json!({"topic": "old"}));
    for _ in 0..100 {
        world.message("alice");
    }
    let since = world.head();
    world.state("alice", "m.room.topic", "", json!({"topic": "new"}));
    for _ in 0..3 {
        let slice = world.slice(slice_of("alice", Some(since), world.head()));
        let unsigned = &parse(&slice.timeline[0])["unsigned"];
        assert_eq!(unsigned["prev_content"], json!({"topic": "old"}));
        assert_eq!(unsigned["replaces_state"], id(old));
    }
    assert_eq!(world.reads(), 1);
}

#[test]
fn transactions_are_for_their_device() {
    let mut world = World::new();
    let sent = world.message("alice");
    let unsigned = |device: &str| {
        let mut reader = reader("alice");
        reader.device_id = Some(device.to_owned());
        let event_id = id(sent).try_into().unwrap();
        match world.ask(RoomQuery::Event { reader, event_id }).unwrap() {
            RoomAnswer::Event(event) => parse(&event)["unsigned"].clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(unsigned("DEVICE")["transaction_id"], format!("t{sent}"));
    assert!(unsigned("OTHER").get("transaction_id").is_none());
}

#[test]
fn lazy_members_are_those_needed() {
    let mut world = World::new();
    for name in ["bob", "carol", "dave"] {
        world.member(name, "join");
    }
    world.state(
        "alice",
        "m.room.name",
        "",
        json!({"name": "named, so no heroes"}),
    );
    let since = world.head();
    for _ in 0..20 {
        world.message("bob");
    }
    let mut query = slice_of("alice", None, world.head());
    query.filter = lazy();
    let slice = world.slice(query);
    assert_eq!(members(&slice.state), ["@alice:x", "@bob:x"]);
    assert_eq!(slice.sent_members, [user("alice"), user("bob")]);
    // Incremental: the sender, unless known; but who changed in a gap is sent although known.
    let mut query = slice_of("alice", Some(since), world.head());
    query.filter = lazy();
    assert_eq!(members(&world.slice(query.clone()).state), ["@bob:x"]);
    query.known_members = vec![user("bob"), user("carol")];
    assert!(world.slice(query.clone()).state.is_empty());
    world.member("carol", "leave");
    for _ in 0..20 {
        world.message("bob");
    }
    query.until = world.head();
    assert_eq!(members(&world.slice(query.clone()).state), ["@carol:x"]);
    query.filter = Some(
        json!({"state": {"lazy_load_members": true, "include_redundant_members": true}})
            .to_string(),
    );
    assert_eq!(members(&world.slice(query).state).len(), 2);
}

#[test]
fn heroes_name_a_room_without_name() {
    let mut world = World::new();
    for number in 0..7 {
        world.member(&format!("u{number}"), "join");
    }
    world.member("u0", "leave");
    let summary =
        |world: &World, since| world.slice(slice_of("alice", since, world.head())).summary;
    let heroes = summary(&world, None).unwrap();
    let expected: Vec<_> = (1..6).map(|number| user(&format!("u{number}"))).collect();
    assert_eq!((heroes.heroes, heroes.joined_count), (expected, 7));
    let since = Some(world.head());
    world.message("u1");
    assert_eq!(summary(&world, since), None);
    for number in 1..7 {
        world.member(&format!("u{number}"), "leave");
    }
    let alone = summary(&world, since).unwrap();
    assert_eq!(alone.heroes.len(), 5);
    assert_eq!(
        (alone.heroes[0].clone(), alone.joined_count),
        (user("u0"), 1)
    );
    world.state("alice", "m.room.name", "", json!({"name": "n"}));
    assert!(summary(&world, since).unwrap().heroes.is_empty());
}

#[test]
fn who_left_hears_of_it_and_of_nothing_later() {
    for forked in [false, true] {
        let mut world = World::new();
        world.member("bob", "join");
        let since = world.head();
        let before = world.message("alice");
        let leave = world.member("bob", "leave");
        let left = world.head();
        world.message("alice");
        world.state("alice", "m.room.topic", "", json!({"topic": "secret"}));
        world.room.forked = forked;
        let slice = world.slice(slice_of("bob", Some(since), world.head()));
        assert_eq!(sequences(&slice.timeline), [before, leave]);
        assert!(slice.state.is_empty() && slice.summary.is_none() && slice.receipts.is_none());
        let whole = world.slice(slice_of("bob", None, world.head()));
        assert_eq!(sequences(&whole.timeline).last(), Some(&leave));
        assert!(
            !whole
                .state
                .iter()
                .any(|event| parse(event)["type"] == "m.room.topic")
        );
        world.room.forked = false;
        let ban = world.member("bob", "ban");
        world.room.forked = forked;
        let slice = world.slice(slice_of("bob", Some(left), world.head()));
        assert_eq!(sequences(&slice.timeline), [ban]);
    }
}

#[test]
fn who_declined_hears_only_that() {
    let mut world = World::new();
    world.member("bob", "invite");
    let since = world.head();
    world.message("alice");
    let leave = world.member("bob", "leave");
    let slice = world.slice(slice_of("bob", Some(since), world.head()));
    assert_eq!(sequences(&slice.timeline), [leave]);
    assert!(slice.state.is_empty());
}

#[test]
fn receipts_and_typing() {
    let mut world = World::new();
    world.member("bob", "join");
    let first = world.message("alice");
    world.receipt("bob", "m.read.private", None, first);
    world.receipt("alice", "m.read.private", None, first);
    let since = world.head();
    world.receipt("bob", "m.read", Some("main"), first);
    let content = |since, typing| {
        let mut query = slice_of("alice", since, world.head());
        query.typing = typing;
        world.slice(query)
    };
    let receipts = parse(&content(Some(since), false).receipts.unwrap());
    let bobs = json!({"@bob:x": {"ts": 5, "thread_id": "main"}});
    let expected = json!({"type": "m.receipt", "content": {id(first): {"m.read": bobs}}});
    assert_eq!(receipts, expected);
    let all = parse(&content(None, false).receipts.unwrap());
    let private = &all["content"][id(first)]["m.read.private"];
    assert_eq!(*private, json!({"@alice:x": {"ts": 5}}));
    let slice = content(Some(world.head()), true);
    assert!(slice.receipts.is_none());
    let typing = json!({"type": "m.typing", "content": {"user_ids": ["@carol:x"]}});
    assert_eq!(parse(&slice.typing.unwrap()), typing);
}

#[test]
fn filters_and_ignored_senders() {
    let mut world = World::new();
    world.member("bob", "join");
    let since = world.head();
    let alices = world.message("alice");
    world.message("bob");
    let topic = world.state("bob", "m.room.topic", "", json!({"topic": "t"}));
    let mut query = slice_of("alice", Some(since), world.head());
    query.reader.ignored = vec![user("bob")];
    let slice = world.slice(query.clone());
    assert_eq!(sequences(&slice.timeline), [alices, topic]);
    // State that the filter keeps out of the timeline is not lost.
    query.filter = Some(json!({"timeline": {"not_types": ["m.room.t*"]}}).to_string());
    let slice = world.slice(query.clone());
    assert_eq!(sequences(&slice.timeline), [alices]);
    assert_eq!(sequences(&slice.state), [topic]);
    query.filter = Some(json!({"not_rooms": ["!room:x"]}).to_string());
    let slice = world.slice(query.clone());
    assert!(slice.timeline.is_empty() && slice.state.is_empty());
    query.filter = Some("[]".to_owned());
    let refused = world.ask(RoomQuery::Slice(Box::new(query)));
    assert!(matches!(refused, Err(RoomError::InvalidParam(_))));
}

#[test]
fn a_full_state_stands_before_the_timeline() {
    let mut world = World::new();
    let old = world.state("alice", "m.room.topic", "", json!({"topic": "old"}));
    let since = world.head();
    let new = world.state("alice", "m.room.topic", "", json!({"topic": "new"}));
    let mut query = slice_of("alice", Some(since), world.head());
    query.full_state = true;
    let slice = world.slice(query.clone());
    assert_eq!(sequences(&slice.timeline), [new]);
    let state = sequences(&slice.state);
    assert!(state.contains(&old) && !state.contains(&new));
    query.state_after = true;
    let state = sequences(&world.slice(query).state);
    assert!(state.contains(&new) && !state.contains(&old));
}

#[test]
fn members_that_joined_or_left() {
    let mut world = World::new();
    world.member("bob", "join");
    world.member("carol", "join");
    let since = world.head();
    world.member("bob", "join");
    world.member("carol", "leave");
    world.member("dave", "join");
    let changes = world
        .slice(slice_of("alice", Some(since), world.head()))
        .member_changes;
    let expected = [
        (user("carol"), "leave".into()),
        (user("dave"), "join".into()),
    ];
    assert_eq!(changes, expected);
}
