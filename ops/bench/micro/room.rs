//! What a room does with a message: decide (build, hash, sign, authorise), apply, and authorisation on its own.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use playhouse_actors::{
    kernel::Domain as _,
    room::{Room, RoomCommand, pdu::Pdu},
};
use playhouse_schema::record::room::RoomRecord;
use ruma::{
    EventId, RoomVersionId,
    events::StateEventType,
    state_res::{check_state_dependent_auth_rules, check_state_independent_auth_rules},
};

use super::stage::{Stage, World, message, pdu_of};

/// Members of the rooms that are measured.
const SIZES: [usize; 2] = [2, 1_000];

fn send(number: u64) -> RoomCommand {
    let body = format!("message {number}, of about the length that people write to each other");
    RoomCommand::SendEvent(Box::new(message("alice", &body)))
}

fn record(world: &World, room: &Room) -> RoomRecord {
    let decision = room.decide(send(0), &world.context);
    let mut records = decision
        .unwrap_or_else(|error| panic!("the room refuses: {error}"))
        .records;
    records.pop().expect("a message is one record")
}

/// A message is judged and made.
pub(crate) fn decide(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("room-decide-send");
    for members in SIZES {
        let stage = Stage::new(&world, RoomVersionId::V12, members);
        let mut number = 0;
        group.bench_function(format!("{members}-members"), |bencher| {
            bencher.iter(|| {
                number += 1;
                stage
                    .room
                    .decide(send(number), &world.context)
                    .is_ok_and(|decision| !decision.records.is_empty())
            });
        });
    }
    group.finish();
}

/// A message is taken into the state.
pub(crate) fn apply(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("room-apply-send");
    for members in SIZES {
        let mut stage = Stage::new(&world, RoomVersionId::V12, members);
        // A full window of recent events is what a living room has.
        for number in 0..200 {
            stage.run(&world, send(number));
        }
        let record = record(&world, &stage.room);
        group.bench_function(format!("{members}-members"), |bencher| {
            bencher.iter_batched_ref(
                || stage.room.clone(),
                |room| {
                    let sequence = room.sequence + 1;
                    room.apply(sequence, sequence, black_box(&record));
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// The authorisation rules over our events and the room's state: what a decision and a received event ask.
pub(crate) fn authorise(criterion: &mut Criterion) {
    let world = World::new();
    let mut group = criterion.benchmark_group("authorise-message");
    for version in [RoomVersionId::V6, RoomVersionId::V12] {
        let stage = Stage::new(&world, version.clone(), 1_000);
        let RoomRecord::Event(event) = record(&world, &stage.room) else {
            panic!("a message is an event");
        };
        let pdu = pdu_of(&event);
        group.bench_function(format!("version-{version}"), |bencher| {
            bencher.iter(|| authorised(&stage, black_box(&pdu)));
        });
    }
    group.finish();
}

fn authorised(stage: &Stage, pdu: &Pdu) -> bool {
    let Some(rules) = &stage.room.rules else {
        return false;
    };
    let fetch = |event_id: &EventId| stage.events.get(event_id);
    let by_state = |event_type: &StateEventType, state_key: &str| {
        let event = stage.room.state_event(event_type, state_key);
        event.map(|event| &event.pdu)
    };
    check_state_independent_auth_rules(&rules.authorization, pdu, fetch).is_ok()
        && check_state_dependent_auth_rules(&rules.authorization, pdu, by_state).is_ok()
}
