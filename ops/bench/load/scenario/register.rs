//! New accounts, the hashing of their passwords included.

use super::super::{
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::Target,
    trouble::Outcome,
};

pub(super) const ABOUT: &str = "new accounts, hashing included";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 60, "accounts"),
    ("clients", 4, "at the same time"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let meter = Meter::begin(target, "register");
    meter
        .repeat(knobs.number("count"), knobs.number("clients"), |_| {
            target.register()
        })
        .await;
    Ok(vec![meter.end()])
}
