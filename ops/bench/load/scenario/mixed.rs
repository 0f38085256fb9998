//! An ordinary day: all wait by long polls, some of them send, acknowledge, type, move their markers and read.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use serde_json::json;

use super::{
    super::{
        api::{User, room_path},
        knobs::{Knob, Knobs},
        meter::{Meter, Part, prepare},
        target::Target,
        text::{Seen, escape, marked},
        trouble::Outcome,
    },
    PREPARE_CLIENTS,
    listener::{Hall, Listener},
};

pub(super) const ABOUT: &str =
    "40 % send, 20 % receipts, 15 % typing, 15 % read markers, 10 % history, and all long-poll";

pub(super) const KNOBS: &[Knob] = &[
    ("users", 40, "accounts, all of which listen"),
    ("actors", 16, "accounts that act"),
    ("rooms", 10, "rooms; each account is in two"),
    ("seconds", 15, "how long"),
    ("think", 0, "milliseconds between two acts"),
];

/// A room, its members by number, and its newest event.
struct Place {
    room: String,
    members: Vec<usize>,
    newest: RefCell<String>,
}

struct Stage<'a> {
    target: &'a Target,
    hall: &'a Hall<'a>,
    acts: &'a Meter<'a>,
    sends: &'a Meter<'a>,
    places: &'a [Place],
    /// Accepted messages and the places where they are.
    spoken: RefCell<Vec<(usize, usize)>>,
}

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let users = target.users(knobs.number("users")).await?;
    let places = open_places(target, &users, knobs.number("rooms").max(2)).await?;
    let listeners = prepare(users.len(), PREPARE_CLIENTS, |number| {
        let places = places.iter().filter(move |p| p.members.contains(&number));
        let rooms: Vec<_> = places.map(|place| place.room.as_str()).collect();
        let user = &users[number];
        async move { Ok((number, Listener::seat(target, user, &rooms).await?)) }
    })
    .await?;

    let acts = Meter::begin(target, "mixed");
    let sends = Meter::begin(target, "mixed-send");
    let hall = Hall::open(target, "mixed-deliver");
    let stage = Stage {
        target,
        hall: &hall,
        acts: &acts,
        sends: &sends,
        places: &places,
        spoken: RefCell::default(),
    };
    let room = &hall;
    let listen = |(number, listener)| async move { (number, room.listen(listener).await) };
    let listening = join_all(listeners.into_iter().map(listen));
    let acting = async {
        let actors = (0..knobs.number("actors").min(users.len()))
            .map(|number| stage.act(number, &users[number], knobs));
        join_all(actors).await;
        acts.stop_clock();
        sends.stop_clock();
        let owed = {
            let spoken = stage.spoken.borrow();
            let members = spoken.iter().map(|(_, at)| places[*at].members.len());
            members.sum()
        };
        hall.close(owed).await;
    };
    let (heard, ()) = join(listening, acting).await;
    let undelivered = missing(&heard, &places, &stage.spoken.into_inner());
    // One server does it all: its cost is told once.
    let (acts, mut sends, mut deliveries) = (acts.end(), sends.end(), hall.end(undelivered));
    (sends.server_cpu_ms, deliveries.server_cpu_ms) = (None, None);
    Ok(vec![acts, sends, deliveries])
}

async fn open_places(target: &Target, users: &[User], count: usize) -> Outcome<Vec<Place>> {
    prepare(count, PREPARE_CLIENTS, |at| async move {
        let is_member = |number: &usize| number % count == at || (number + 1) % count == at;
        let members: Vec<_> = (0..users.len()).filter(is_member).collect();
        let owner = &users[members.first().copied().unwrap_or(0)];
        let room = target.api.create_room(owner, "public_chat").await?;
        for number in members.iter().skip(1) {
            target.api.join(&users[*number], &room).await?;
        }
        let transaction = target.fresh();
        let newest = target.api.send(owner, &room, &transaction, "begin").await?;
        Ok(Place {
            room,
            members,
            newest: RefCell::new(newest),
        })
    })
    .await
}

fn missing(heard: &[(usize, Seen)], places: &[Place], spoken: &[(usize, usize)]) -> usize {
    let missing = spoken.iter().flat_map(|(number, at)| {
        heard
            .iter()
            .filter(|(member, seen)| places[*at].members.contains(member) && !seen.has(*number))
    });
    missing.count()
}

impl Stage<'_> {
    async fn act(&self, number: usize, user: &User, knobs: &Knobs) {
        let until = Instant::now() + Duration::from_secs(knobs.number("seconds") as u64);
        let think = Duration::from_millis(knobs.number("think") as u64);
        let own = (0..self.places.len())
            .filter(|at| self.places[*at].members.contains(&number))
            .collect::<Vec<_>>();
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64 ^ (number as u64 + 1);
        while Instant::now() < until {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let at = own[(dice >> 32) as usize % own.len()];
            match dice % 100 {
                0..40 => self.send(user, at).await,
                other => drop(self.acts.time(self.other(user, at, other)).await),
            }
            if !think.is_zero() {
                tokio::time::sleep(think).await;
            }
        }
    }

    async fn send(&self, user: &User, at: usize) {
        let place = &self.places[at];
        let number = self.hall.speak();
        let body = marked(&self.hall.tag, number, 200);
        let transaction = format!("{}-{number}", self.hall.tag);
        let api = &self.target.api;
        let sent = self
            .sends
            .time(api.send(user, &place.room, &transaction, &body));
        // As one of all acts too; its error is told where sends are.
        let begun = Instant::now();
        if let Some(event_id) = sent.await {
            self.acts.took(begun.elapsed());
            *place.newest.borrow_mut() = event_id;
            self.spoken.borrow_mut().push((number, at));
        }
    }

    async fn other(&self, user: &User, at: usize, dice: u64) -> Outcome<()> {
        let place = &self.places[at];
        let newest = place.newest.borrow().clone();
        let api = &self.target.api;
        let path = |rest: &str| room_path(&place.room, rest);
        match dice {
            40..60 => {
                let path = path(&format!("receipt/m.read/{}", escape(&newest)));
                api.post(&path, &user.token, &json!({})).await.map(drop)
            }
            60..75 => {
                let path = path(&format!("typing/{}", escape(&user.id)));
                let typing = json!({"typing": dice.is_multiple_of(2), "timeout": 20_000});
                api.put(&path, &user.token, &typing).await.map(drop)
            }
            75..90 => {
                let markers = json!({"m.fully_read": newest, "m.read": newest});
                let path = path("read_markers");
                api.post(&path, &user.token, &markers).await.map(drop)
            }
            _ => {
                let path = path("messages?dir=b&limit=30");
                api.get(&path, &user.token).await.map(drop)
            }
        }
    }
}
