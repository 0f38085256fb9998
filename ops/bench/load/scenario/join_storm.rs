//! Many accounts join one public room at once.

use super::super::{
    api::room_path,
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::Target,
    trouble::Outcome,
};

pub(super) const ABOUT: &str = "joins of one public room, all at once";

pub(super) const KNOBS: &[Knob] = &[
    ("members", 100, "accounts that join"),
    ("clients", 100, "at the same time"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let members = knobs.number("members");
    let users = target.users(members + 1).await?;
    let owner = &users[members];
    let room = target.api.create_room(owner, "public_chat").await?;
    let meter = Meter::begin(target, "join");
    let joined = meter
        .repeat(members, knobs.number("clients"), |number| {
            target.api.join(&users[number], &room)
        })
        .await;
    let mut part = meter.end();
    let path = room_path(&room, "joined_members");
    let list = target.api.get(&path, &owner.token).await?;
    let is_absent = |number: usize| !list.contains(&format!("\"{}\"", users[number].id));
    part.lost = (0..members)
        .filter(|number| joined[*number].is_some() && is_absent(*number))
        .count();
    Ok(vec![part])
}
