//! Two branches of a room become one state, by each algorithm.

use std::hint::black_box;

use criterion::Criterion;
use playhouse_actors::room::{pdu::Pdu, resolve};
use ruma::{EventId, RoomVersionId};

use super::stage::{Stage, World, state};

/// Members of the room, and how many of them changed their name on both branches.
const MEMBERS: usize = 200;
const CONFLICTED: usize = 20;

/// Resolution over a conflicted state: names of members, the topic, the power levels.
pub(crate) fn resolve(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("resolve-two-branches");
    for (label, version) in [
        ("v1", RoomVersionId::V1),
        ("v2", RoomVersionId::V11),
        ("v2.1", RoomVersionId::V12),
    ] {
        let trunk = Stage::new(&world, version, MEMBERS);
        let left = branch(&world, &trunk, "left");
        let right = branch(&world, &trunk, "right");
        let states = [&left, &right].map(|stage| resolve::ids_of(&stage.room.current));
        let Some(rules) = &trunk.room.rules else {
            panic!("the room has a version");
        };
        let fetch = |event_id: &EventId| -> Option<&Pdu> {
            let found = left.events.get(event_id);
            found.or_else(|| right.events.get(event_id))
        };
        group.bench_function(label, |bencher| {
            bencher.iter(|| {
                let resolved = resolve::resolve(rules, black_box(&states), &fetch);
                resolved.is_ok_and(|state| state.len() > MEMBERS)
            });
        });
    }
    group.finish();
}

/// The room as it went on on one server.
fn branch(world: &World, trunk: &Stage, name: &str) -> Stage {
    let mut stage = trunk.clone();
    let topic = format!(r#"{{"topic":"{name}"}}"#);
    stage.send(world, state("alice", "m.room.topic", &topic));
    let levels = format!(
        r#"{{"users":{{"@{}:bench.localhost":50}},"users_default":0,"state_default":50}}"#,
        if name == "left" { "member0" } else { "member1" }
    );
    // Up to version 11 the creator keeps power by being named.
    let levels = if trunk
        .room
        .rules
        .as_ref()
        .is_some_and(|rules| rules.authorization.explicitly_privilege_room_creators)
    {
        levels
    } else {
        levels.replace(
            r#"{"users":{"#,
            r#"{"users":{"@alice:bench.localhost":100,"#,
        )
    };
    stage.send(world, state("alice", "m.room.power_levels", &levels));
    for number in 0..CONFLICTED {
        stage.join(world, &format!("member{number}"), Some(name));
    }
    stage
}
