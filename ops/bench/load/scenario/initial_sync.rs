//! First syncs of an account with many rooms, then syncs that find nothing new.

use super::{
    super::{
        api::User,
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::marked,
        trouble::{Outcome, Trouble},
    },
    PREPARE_CLIENTS,
};

pub(super) const ABOUT: &str = "first syncs with many rooms, then syncs that find nothing new";

pub(super) const KNOBS: &[Knob] = &[
    ("rooms", 100, "rooms of the account"),
    ("events", 10, "messages in each"),
    ("count", 20, "first syncs"),
    ("idle", 500, "syncs that find nothing"),
];

/// The account that this scenario and `cold-start` sync: not one that other scenarios put into their rooms.
pub(super) async fn dweller(target: &Target, rooms: usize, events: usize) -> Outcome<User> {
    let key = format!("dweller-{rooms}-{events}");
    if let Some(kept) = target.recall(&key) {
        let mut words = kept.splitn(2, ' ').map(ToOwned::to_owned);
        let mut word = || words.next().unwrap_or_default();
        return Ok(User {
            id: word(),
            token: word(),
            password: String::new(),
        });
    }
    let user = target.register().await?;
    let (of, tag) = (&user, &target.fresh());
    prepare(rooms, PREPARE_CLIENTS, |room_number| async move {
        let room = target.api.create_room(of, "private_chat").await?;
        for number in 0..events {
            let body = marked(tag, number, 200);
            let transaction = format!("{tag}-{room_number}-{number}");
            target.api.send(of, &room, &transaction, &body).await?;
        }
        Ok(())
    })
    .await?;
    target.remember(&key, &format!("{} {}", user.id, user.token));
    Ok(user)
}

/// A first sync that must contain all rooms.
pub(super) async fn first_sync(target: &Target, user: &User, rooms: usize) -> Outcome<String> {
    let answer = target.api.sync(user, None, 0, "").await?;
    let found = answer.text.matches("\"timeline\"").count();
    if found < rooms {
        return Err(Trouble::Surprise(format!("{found} rooms of {rooms}")));
    }
    Ok(answer.next)
}

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let rooms = knobs.number("rooms");
    let user = &dweller(target, rooms, knobs.number("events")).await?;
    let meter = Meter::begin(target, "initial-sync");
    let answers = meter
        .repeat(knobs.number("count"), 1, |_| {
            first_sync(target, user, rooms)
        })
        .await;
    let mut parts = vec![meter.end()];
    if let Some(since) = answers.into_iter().flatten().last() {
        let since = &since;
        let meter = Meter::begin(target, "idle-sync");
        meter
            .repeat(knobs.number("idle"), 1, |_| async move {
                target.api.sync(user, Some(since), 0, "").await.map(drop)
            })
            .await;
        parts.push(meter.end());
    }
    Ok(parts)
}
