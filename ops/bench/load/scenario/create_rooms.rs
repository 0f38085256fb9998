//! Private rooms, made one by one.

use super::super::{
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::Target,
    trouble::Outcome,
};

pub(super) const ABOUT: &str = "private rooms made";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 400, "rooms"),
    ("clients", 8, "at the same time"),
    ("users", 8, "accounts that take turns"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let users = target.users(knobs.number("users")).await?;
    let meter = Meter::begin(target, "create-room");
    meter
        .repeat(knobs.number("count"), knobs.number("clients"), |number| {
            let user = &users[number % users.len()];
            target.api.create_room(user, "private_chat")
        })
        .await;
    Ok(vec![meter.end()])
}
