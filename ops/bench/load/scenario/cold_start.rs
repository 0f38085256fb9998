//! From the start of the program to its first answer, and to the first sync.

use super::{
    super::{
        knobs::{Knob, Knobs},
        meter::{Meter, Part},
        target::Target,
        trouble::Outcome,
    },
    initial_sync::{dweller, first_sync},
};

pub(super) const ABOUT: &str = "from start to the first answer, and to the first sync";

pub(super) const KNOBS: &[Knob] = &[
    ("rooms", 100, "rooms of the account that syncs"),
    ("events", 10, "messages in each"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let rooms = knobs.number("rooms");
    let user = dweller(target, rooms, knobs.number("events")).await?;
    target.stop().await?;
    let meter = Meter::begin(target, "start");
    meter.time(target.start()).await;
    let start = meter.end();
    let meter = Meter::begin(target, "start-sync");
    meter.time(first_sync(target, &user, rooms)).await;
    Ok(vec![start, meter.end()])
}
