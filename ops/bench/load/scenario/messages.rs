//! Walks backwards through a long history, page by page.

use super::{
    super::{
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::{Seen, marked},
        trouble::Outcome,
    },
    PREPARE_CLIENTS,
};

pub(super) const ABOUT: &str = "backward pagination, a hundred events a page";

pub(super) const KNOBS: &[Knob] = &[
    ("events", 2_000, "messages in the room"),
    ("walks", 10, "walks through all of them"),
];

/// The tag of messages that several rounds read.
const TAG: &str = "history";

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let user = &target.users(1).await?[0];
    let events = knobs.number("events");
    let key = format!("messages-{events}");
    let room = match target.recall(&key) {
        Some(room) => room,
        None => {
            let room = target.api.create_room(user, "private_chat").await?;
            let (tag, to) = (&target.fresh(), &room);
            prepare(events, PREPARE_CLIENTS, |number| async move {
                let body = marked(TAG, number, 200);
                let transaction = format!("{tag}-{number}");
                target.api.send(user, to, &transaction, &body).await
            })
            .await?;
            target.remember(&key, &room);
            room
        }
    };
    let meter = Meter::begin(target, "page");
    let mut lost = 0;
    for _ in 0..knobs.number("walks") {
        let mut seen = Seen::default();
        target
            .api
            .walk(user, &room, &meter, |page| {
                seen.take_all(page, TAG);
            })
            .await;
        lost += (0..events).filter(|number| !seen.has(*number)).count();
    }
    let mut part = meter.end();
    part.lost = lost;
    Ok(vec![part])
}
