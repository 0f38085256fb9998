//! Who sees what: the specification's table, and a second opinion on random rooms.

use proptest::prelude::*;

use super::*;

/// What bob sees of one message, sent while the visibility was so and bob's membership that; afterwards he joins, or not.
fn sees(visibility: &str, membership: Option<&str>, joins_later: bool, forked: bool) -> bool {
    let mut world = World::new();
    world.visibility(visibility);
    if let Some(membership) = membership {
        world.member("bob", membership);
    }
    let message = world.message("alice");
    if joins_later {
        world.member("bob", "join");
    }
    world.room.forked = forked;
    let query = RoomQuery::Event {
        reader: reader("bob"),
        event_id: id(message).try_into().unwrap(),
    };
    world.ask(query).is_ok()
}

#[test]
fn nothing_is_hidden_from_administrators() {
    for visibility in ["shared", "invited", "joined"] {
        for forked in [false, true] {
            let mut world = World::new();
            world.visibility(visibility);
            let message = world.message("alice");
            world.room.forked = forked;
            let asked_by = |reader: Reader| RoomQuery::Event {
                reader,
                event_id: id(message).try_into().unwrap(),
            };
            let stranger = asked_by(Reader::of(user("boss")));
            assert!(world.ask(stranger).is_err(), "{visibility}");
            let administrator = asked_by(Reader::administrator(user("boss")));
            assert!(world.ask(administrator).is_ok(), "{visibility}");
        }
    }
}

#[test]
fn table_of_the_specification() {
    for forked in [false, true] {
        for (visibility, never, invited, joined_after, invited_joined_after) in [
            ("world_readable", true, true, true, true),
            ("shared", false, false, true, true),
            ("org.example.unknown", false, false, true, true),
            ("invited", false, false, false, true),
            ("joined", false, false, false, false),
        ] {
            let case = format!("{visibility} forked={forked}");
            assert_eq!(sees(visibility, None, false, forked), never, "{case}");
            assert_eq!(
                sees(visibility, Some("invite"), false, forked),
                invited,
                "{case}"
            );
            assert_eq!(sees(visibility, None, true, forked), joined_after, "{case}");
            assert_eq!(
                sees(visibility, Some("invite"), true, forked),
                invited_joined_after,
                "{case}"
            );
            assert!(sees(visibility, Some("join"), false, forked), "{case}");
        }
    }
}

#[test]
fn changes_of_visibility_count_before_and_after() {
    let mut world = World::new();
    world.visibility("joined");
    let opens = world.visibility("world_readable");
    let open = world.message("alice");
    let closes = world.visibility("joined");
    let closed = world.message("alice");
    let sees = |sequence| {
        let query = RoomQuery::Event {
            reader: reader("bob"),
            event_id: id(sequence).try_into().unwrap(),
        };
        world.ask(query).is_ok()
    };
    assert!(sees(opens) && sees(open) && sees(closes));
    assert!(!sees(closed));
}

#[test]
fn strangers_are_refused() {
    let mut world = World::new();
    world.member("bob", "invite");
    for query in [
        RoomQuery::State {
            reader: reader("bob"),
        },
        RoomQuery::State {
            reader: reader("eve"),
        },
        RoomQuery::JoinedMembers {
            reader: Some(reader("eve")),
        },
    ] {
        assert!(matches!(world.ask(query), Err(RoomError::Forbidden(_))));
    }
    world.visibility("world_readable");
    assert!(
        world
            .ask(RoomQuery::State {
                reader: reader("eve")
            })
            .is_ok()
    );
}

/// The rules once more, applied to the whole history from its beginning.
fn second_opinion(world: &World, name: &str) -> Vec<Sequence> {
    let own = user(name);
    let is_own =
        |event: &Value| event["type"] == "m.room.member" && event["state_key"] == own.as_str();
    let joins: Vec<_> = world
        .events
        .iter()
        .filter(|(_, event)| is_own(event) && event["content"]["membership"] == "join")
        .map(|(sequence, _)| *sequence)
        .collect();
    let (mut membership, mut visibility) = ("leave".to_owned(), "shared".to_owned());
    let mut departed = None;
    let mut seen = Vec::new();
    for (sequence, event) in &world.events {
        let (was_member, was_visible) = (membership.clone(), visibility.clone());
        if is_own(event) {
            membership = event["content"]["membership"].as_str().unwrap().to_owned();
            if was_member == "join" && membership != "join" {
                departed = Some(*sequence);
            }
        }
        if event["type"] == "m.room.history_visibility" {
            visibility = event["content"]["history_visibility"]
                .as_str()
                .unwrap()
                .to_owned();
        }
        let allows = |visibility: &str, membership: &str| {
            visibility == "world_readable"
                || membership == "join"
                || (visibility == "shared" && joins.iter().any(|join| join > sequence))
                || (visibility == "invited" && membership == "invite" && !joins.is_empty())
        };
        if allows(&was_visible, &was_member) || allows(&visibility, &membership) {
            seen.push(*sequence);
        }
    }
    if membership != "join"
        && let Some(departed) = departed
    {
        seen.retain(|sequence| *sequence <= departed);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn paging_agrees_with_a_second_opinion(
        script in prop::collection::vec(0_u8..9, 1..60),
        window in 1_usize..20,
        forked: bool,
    ) {
        let mut world = World::new();
        world.member("bob", "join");
        for step in script {
            match step {
                0 => world.visibility("joined"),
                1 => world.visibility("shared"),
                2 => world.visibility("invited"),
                3 => world.visibility("world_readable"),
                4 => world.member("bob", "leave"),
                5 => world.member("bob", "invite"),
                6 => world.member("bob", "join"),
                _ => world.message("alice"),
            };
        }
        world.shrink(window);
        world.room.forked = forked;
        let mut expected = second_opinion(&world, "bob");
        expected.reverse();
        prop_assert_eq!(world.page_back("bob", None, 7), expected);
    }
}
