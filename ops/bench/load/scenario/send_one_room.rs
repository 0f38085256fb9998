//! Messages into one room that all senders share.

use super::{
    super::{
        knobs::{Knob, Knobs},
        meter::{Part, prepare},
        target::Target,
        trouble::Outcome,
    },
    PREPARE_CLIENTS, send,
};

pub(super) const ABOUT: &str = "acknowledged messages, all in one room";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 4_000, "messages"),
    ("clients", 16, "at the same time"),
    ("users", 16, "members that take turns"),
    ("bytes", 200, "length of a message"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let users = target.users(knobs.number("users")).await?;
    let room = target.api.create_room(&users[0], "public_chat").await?;
    prepare(users.len(), PREPARE_CLIENTS, |number| {
        target.api.join(&users[number], &room)
    })
    .await?;
    let places: Vec<_> = users.iter().map(|user| (user, room.clone())).collect();
    send::send(target, knobs, &places, &places[..1]).await
}
