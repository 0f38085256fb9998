//! A room with many members and much other state: reading it, and sending into it.

use serde_json::json;

use super::{
    super::{
        api::{User, room_path},
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::marked,
        trouble::{Outcome, Trouble},
    },
    PREPARE_CLIENTS,
};

pub(super) const ABOUT: &str = "state and members of a large room, and messages into it";

pub(super) const KNOBS: &[Knob] = &[
    ("members", 100, "members"),
    ("state", 500, "other state events"),
    ("count", 50, "readings of each kind"),
    ("sends", 400, "messages"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let (members, state) = (knobs.number("members"), knobs.number("state"));
    let users = target.users(members).await?;
    let owner = &users[0];
    let mut parts = Vec::new();
    let key = format!("state-{members}-{state}");
    let room = match target.recall(&key) {
        Some(room) => room,
        None => {
            let room = target.api.create_room(owner, "public_chat").await?;
            prepare(members, PREPARE_CLIENTS, |number| {
                target.api.join(&users[number], &room)
            })
            .await?;
            target.remember(&key, &room);
            room
        }
    };
    parts.push(set_state(target, owner, &room, state).await);
    for (name, at_least) in [("state", members + state), ("members", members)] {
        let path = &room_path(&room, name);
        let meter = Meter::begin(target, name);
        meter
            .repeat(knobs.number("count"), 1, |_| async move {
                let answer = target.api.get(path, &owner.token).await?;
                match answer.matches("\"state_key\"").count() {
                    found if found >= at_least => Ok(()),
                    found => Err(Trouble::Surprise(format!("{found} events of {at_least}"))),
                }
            })
            .await;
        parts.push(meter.end());
    }
    let (room, tag) = (&room, &target.fresh());
    let meter = Meter::begin(target, "send-large");
    meter
        .repeat(knobs.number("sends"), 4, |number| async move {
            let transaction = format!("{tag}-{number}");
            let body = marked(tag, number, 200);
            target.api.send(owner, room, &transaction, &body).await
        })
        .await;
    parts.push(meter.end());
    Ok(parts)
}

/// Sets all state keys to something new.
async fn set_state(target: &Target, owner: &User, room: &str, count: usize) -> Part {
    let tag = &target.fresh();
    let meter = Meter::begin(target, "set-state");
    meter
        .repeat(count, 4, |number| async move {
            let path = room_path(room, &format!("state/org.example.bench/key{number}"));
            let content = json!({"number": number, "set": tag});
            target.api.put(&path, &owner.token, &content).await
        })
        .await;
    meter.end()
}
