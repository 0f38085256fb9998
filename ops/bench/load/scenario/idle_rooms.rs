//! Rooms that only lie on disk: what they cost at start and in memory, beside a server without any. Servers of the tool's own only.

use std::{cell::RefCell, time::Duration};

use super::super::{
    accounts::Registration,
    house::House,
    knobs::{Knob, Knobs},
    meter::{Meter, Part},
    target::{Life, Target},
    trouble::{Outcome, Trouble},
};

pub(super) const ABOUT: &str =
    "start and memory of a server whose rooms all sleep; rooms are made by the API first";

pub(super) const KNOBS: &[Knob] = &[
    ("rooms", 10_000, "rooms on disk"),
    ("users", 100, "accounts that own them"),
    ("clients", 16, "rooms made at the same time"),
    ("starts", 3, "starts that are measured"),
    (
        "settle",
        6_000,
        "milliseconds from the start to the look at memory",
    ),
];

pub(super) async fn run(target: &Target, knobs: &Knobs) -> Outcome<Vec<Part>> {
    let Life::Own(house) = &target.life else {
        return Err(Trouble::Setup("only for the tool's own servers".to_owned()));
    };
    let options = house.borrow().options().clone();
    let fresh = || House::open(options.clone());
    let empty = own("empty", fresh()?);
    let mut parts = vec![starts(&empty, "start-empty", knobs).await?];
    drop(empty);

    let full = own("full", fresh()?);
    let users = full.users(knobs.number("users").max(1)).await?;
    let meter = Meter::begin(&full, "make-rooms");
    meter
        .repeat(knobs.number("rooms"), knobs.number("clients"), |number| {
            let user = &users[number % users.len()];
            full.api.create_room(user, "private_chat")
        })
        .await;
    parts.push(meter.end());
    parts.push(starts(&full, "start-full", knobs).await?);
    Ok(parts)
}

fn own(name: &str, house: House) -> Target {
    let url = house.url().to_owned();
    Target::new(
        name,
        &url,
        Life::Own(Box::new(RefCell::new(house))),
        Registration::Open,
    )
}

/// Starts again some times on what is stored.
async fn starts(target: &Target, name: &str, knobs: &Knobs) -> Outcome<Part> {
    let mut all: Option<Part> = None;
    let mut millis = Vec::new();
    let mut awake = Vec::new();
    for _ in 0..knobs.number("starts").max(1) {
        target.stop().await?;
        let meter = Meter::begin(target, name);
        meter.time(target.start()).await;
        meter.stop_clock();
        tokio::time::sleep(Duration::from_millis(knobs.number("settle") as u64)).await;
        awake.push(rooms_awake(target).await?);
        let part = meter.end();
        millis.push(part.p50_ms);
        all = Some(match all {
            None => part,
            Some(before) => Part {
                operations: before.operations + part.operations,
                seconds: before.seconds + part.seconds,
                server_cpu_ms: before
                    .server_cpu_ms
                    .zip(part.server_cpu_ms)
                    .map(|(a, b)| a + b),
                ..part
            },
        });
    }
    millis.sort_by(f64::total_cmp);
    let mut part = all.unwrap_or_default();
    part.p50_ms = millis[millis.len() / 2];
    part.p99_ms = millis[millis.len() - 1];
    part.note = Some(format!("rooms woken since the start: {awake:?}"));
    Ok(part)
}

/// How many rooms have been woken since the start, by the server's own count.
async fn rooms_awake(target: &Target) -> Outcome<u64> {
    let metrics = target.api.get("/metrics", "").await?;
    let count = metrics
        .lines()
        .filter(|line| {
            line.starts_with("playhouse_actor_wakes_total{") && line.contains("\"room\"")
        })
        .find_map(|line| line.rsplit(' ').next()?.parse().ok());
    Ok(count.unwrap_or(0))
}
