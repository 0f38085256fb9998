//! Logins by password.

use super::super::{
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::Target,
    trouble::Outcome,
};

pub(super) const ABOUT: &str = "logins by password";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 60, "logins"),
    ("clients", 4, "at the same time"),
    ("users", 8, "accounts that take turns"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let users = target.users(knobs.number("users")).await?;
    let meter = Meter::begin(target, "login");
    meter
        .repeat(knobs.number("count"), knobs.number("clients"), |number| {
            target.log_in(&users[number % users.len()])
        })
        .await;
    Ok(vec![meter.end()])
}
