//! Micro-benchmarks of what every message passes through: the append, the room's decision, authorisation, state resolution, the sync answer.

mod append;
mod resolve;
mod room;
mod stage;
mod sync;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    append::append,
    room::decide,
    room::apply,
    room::authorise,
    resolve::resolve,
    sync::answers
);
criterion_main!(benches);
