//! Messages into many rooms, each of which one account has to itself.

use super::{
    super::{
        api::User,
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::{Seen, marked},
        trouble::Outcome,
    },
    PREPARE_CLIENTS,
};

pub(super) const ABOUT: &str = "acknowledged messages, each account in rooms of its own";

pub(super) const KNOBS: &[Knob] = &[
    ("count", 4_000, "messages"),
    ("clients", 16, "at the same time"),
    ("users", 16, "accounts that take turns"),
    ("rooms", 4, "rooms of each account"),
    ("bytes", 200, "length of a message"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let users = target.users(knobs.number("users")).await?;
    let count = users.len() * knobs.number("rooms");
    let rooms = prepare(count, PREPARE_CLIENTS, |number| {
        let user = &users[number % users.len()];
        async move { Ok((user, target.api.create_room(user, "private_chat").await?)) }
    })
    .await?;
    send(target, knobs, &rooms, &rooms).await
}

/// Sends messages by turns of `places`, and afterwards looks for all that were acknowledged in the history of `rooms`.
pub(super) async fn send(
    target: &Target,
    knobs: &Knobs,
    places: &[(&User, String)],
    rooms: &[(&User, String)],
) -> Outcome<Vec<Part>> {
    let tag = &target.fresh();
    let bytes = knobs.number("bytes");
    let meter = Meter::begin(target, "send");
    let acknowledged = meter
        .repeat(
            knobs.number("count"),
            knobs.number("clients"),
            |number| async move {
                let (user, room) = &places[number % places.len()];
                let body = marked(tag, number, bytes);
                let transaction = format!("{tag}-{number}");
                target.api.send(user, room, &transaction, &body).await
            },
        )
        .await;
    let mut part = meter.end();
    let mut seen = Seen::default();
    let reading = Meter::begin(target, "history");
    for (user, room) in rooms {
        target
            .api
            .walk(user, room, &reading, |page| {
                seen.take_all(page, tag);
            })
            .await;
    }
    let is_lost = |(number, answer): &(usize, &Option<_>)| answer.is_some() && !seen.has(*number);
    part.lost = acknowledged.iter().enumerate().filter(is_lost).count();
    part.errors.extend(reading.end().errors);
    Ok(vec![part])
}
