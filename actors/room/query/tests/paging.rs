//! Slices and pages fit together: nothing twice, nothing lost, and the state is always right.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step of a random room.
fn step(world: &mut World, step: u8) -> Sequence {
    match step {
        0 => world.member("bob", "join"),
        1 => world.member("bob", "leave"),
        2 => world.state("alice", "m.room.topic", "", json!({"topic": "one"})),
        3 => world.state("alice", "m.room.name", "", json!({"name": "two"})),
        4 => world.state("alice", "org.example", "a", json!({})),
        5 => {
            let last = world.events.last().unwrap().0;
            world.receipt("alice", "m.read", None, last);
            world.next() - 1
        }
        _ => world.message("bob"),
    }
}

/// A client's idea of the state.
#[derive(Default)]
struct Client(BTreeMap<(String, String), Sequence>);

impl Client {
    fn take(&mut self, events: &[Bytes]) {
        for event in events {
            let event = parse(event);
            if let Some(state_key) = event["state_key"].as_str() {
                let key = (
                    event["type"].as_str().unwrap().to_owned(),
                    state_key.to_owned(),
                );
                self.0.insert(key, sequence(&event));
            }
        }
    }

    fn agrees(&self, room: &Room) -> bool {
        let current = room.current.iter().map(|((event_type, state_key), event)| {
            ((event_type.to_string(), state_key.clone()), event.sequence)
        });
        self.0 == current.collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn slices_join_exactly(
        rounds in prop::collection::vec(prop::collection::vec(0_u8..10, 0..30), 1..8),
        limit in 0_usize..12,
        window in 1_usize..40,
        forked: bool,
        after: bool,
    ) {
        let mut world = World::new();
        world.room.forked = forked;
        let mut client = Client::default();
        let mut since = None;
        let mut known = 0;
        let mut last = world.next() - 1;
        for round in rounds {
            for part in round {
                last = step(&mut world, part);
            }
            world.shrink(window);
            let mut query = slice_of("alice", since, World::position(last));
            query.filter = Some(json!({"timeline": {"limit": limit}}).to_string());
            query.state_after = after;
            let slice = world.slice(query);
            let timeline = sequences(&slice.timeline);
            prop_assert!(timeline.len() <= limit);
            client.take(&slice.state);
            if !after {
                client.take(&slice.timeline);
            }
            prop_assert!(client.agrees(&world.room));
            // What the timeline left out is found by paging back from it.
            let mut all = world.page_back("alice", Some(slice.prev_batch), 5);
            all.reverse();
            all.extend(&timeline);
            let expected: Vec<_> = world.events.iter().map(|(sequence, _)| *sequence).collect();
            prop_assert_eq!(&all, &expected);
            let fresh = expected.iter().filter(|sequence| **sequence > known).count();
            prop_assert_eq!(slice.limited, fresh > timeline.len());
            known = last;
            since = Some(World::position(last));
        }
    }

    #[test]
    fn pages_forwards_are_pages_backwards_turned(
        script in prop::collection::vec(0_u8..10, 0..200),
        window in 1_usize..40,
        limit in 1_usize..20,
    ) {
        let mut world = World::new();
        for part in script {
            step(&mut world, part);
        }
        world.shrink(window);
        let mut seen = Vec::new();
        let mut from = None;
        loop {
            let page = world.page(MessagesQuery {
                reader: reader("alice"),
                from,
                to: None,
                backwards: false,
                limit,
                filter: None,
            }).unwrap();
            seen.extend(sequences(&page.chunk));
            let Some(end) = page.end else { break };
            from = Some(end.into());
        }
        let mut back = world.page_back("alice", None, limit);
        back.reverse();
        prop_assert_eq!(seen, back);
    }

    #[test]
    fn positions_resolve(
        script in prop::collection::vec(0_u8..10, 0..300),
        window in 1_usize..40,
        at in 0_u64..4_000,
    ) {
        let mut world = World::new();
        for part in script {
            step(&mut world, part);
        }
        world.shrink(window);
        let resolve = |point| {
            let room = Arc::new(world.room.clone());
            let view = View::new(room, world.next() - 1, world.archive(), NOW_MS);
            view.history.resolve(point).now_or_never().unwrap().unwrap()
        };
        let found = resolve(TimelinePoint::Position(at));
        let exact = (at / 10).min(world.next() - 1);
        prop_assert!(found <= exact);
        prop_assert!(!world.events.iter().any(|(sequence, _)| found < *sequence && *sequence <= exact));
    }
}
