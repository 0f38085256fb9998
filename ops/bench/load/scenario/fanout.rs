//! One speaks at a fixed rate, whatever the server does; many wait for it by long polls.

use std::time::Duration;

use futures_util::{
    StreamExt as _,
    future::{join, join_all},
    stream,
};
use tokio::time::{Instant, sleep_until};

use super::{
    super::{
        api::User,
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::marked,
        trouble::Outcome,
    },
    PREPARE_CLIENTS,
    listener::{Hall, Listener},
};

pub(super) const ABOUT: &str = "delivery to long-polling members, at a fixed rate";

pub(super) const KNOBS: &[Knob] = &[
    ("members", 50, "members who listen"),
    ("rate", 20, "messages in a second"),
    ("seconds", 10, "how long"),
    ("bytes", 200, "length of a message"),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let members = knobs.number("members");
    let users = target.users(members + 1).await?;
    let speaker = &users[members];
    let room = target.api.create_room(speaker, "public_chat").await?;
    prepare(members, PREPARE_CLIENTS, |number| {
        target.api.join(&users[number], &room)
    })
    .await?;
    let rooms = [room.as_str()];
    let listeners = prepare(members, PREPARE_CLIENTS, |number| {
        Listener::seat(target, &users[number], &rooms)
    })
    .await?;

    let sends = Meter::begin(target, "fanout-send");
    let hall = Hall::open(target, "deliver");
    let listening = join_all(listeners.into_iter().map(|listener| hall.listen(listener)));
    let speaking = async {
        let spoken = speak(target, knobs, &hall, &sends, (speaker, &room)).await;
        hall.close(spoken.len() * members).await;
        spoken
    };
    let (heard, spoken) = join(listening, speaking).await;
    let missing = heard
        .iter()
        .map(|seen| spoken.iter().filter(|number| !seen.has(**number)).count());
    let undelivered = missing.sum();
    let mut sends = sends.end();
    // What the server did in this time was mostly for the deliveries: it is told there.
    sends.server_cpu_ms = None;
    Ok(vec![sends, hall.end(undelivered)])
}

/// Speaks at the rate, and gives the numbers of all messages that were accepted.
async fn speak(
    target: &Target,
    knobs: &Knobs,
    hall: &Hall<'_>,
    sends: &Meter<'_>,
    (speaker, room): (&User, &str),
) -> Vec<usize> {
    let rate = knobs.number("rate").max(1);
    let count = rate * knobs.number("seconds");
    let begun = Instant::now();
    let one = |turn: usize| async move {
        sleep_until(begun + Duration::from_secs(1) * turn as u32 / rate as u32).await;
        let number = hall.speak();
        let body = marked(&hall.tag, number, knobs.number("bytes"));
        let transaction = format!("{}-{number}", hall.tag);
        let sent = target.api.send(speaker, room, &transaction, &body);
        sends.time(sent).await.map(|_| number)
    };
    let spoken: Vec<_> = stream::iter((0..count).map(one))
        .buffer_unordered(count.max(1))
        .collect()
        .await;
    spoken.into_iter().flatten().collect()
}
