//! The way of every event of a run of three servers, whatever became of it: accepted, rejected, soft-failed, redacted, pushed, not delivered.
//!
//! Beside the three there are two played servers: a user of one sends what is not accepted, the other one goes away before the end. Every event that
//! anybody knows is asked for at each server that should know it. How long the answers took is printed, and judged where `PLAYHOUSE_TEST_JOURNEY_MS` says how
//! long they may take.

mod run;
mod truth;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::Value;

use self::{
    run::{Run, Site},
    truth::{View, lacks},
};
use crate::{
    client::props::{ids, list, list_or_none},
    harness::{client::encode, wish},
};

/// What is on its way arrives within this time: generous, since many tests run at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was found in the end.
#[derive(Default)]
struct Found {
    /// How long each answer took.
    took: Vec<Duration>,
    /// For so many the state was resolved.
    resolved: usize,
    /// For so many a feed has come so far.
    heard: usize,
    /// So many were of each of these.
    rejected: usize,
    soft_failed: usize,
    redacted: usize,
    undelivered: usize,
    unpushed: usize,
}

/// Waits until something is so.
async fn becomes(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "it never comes to be so: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn path(event_id: &str) -> String {
    let event_id = encode(event_id);
    format!("/_playhouse/admin/v1/events/{event_id}/journey?limit=100")
}

/// All events of the room that are known at a server, and those that were brought to all of them.
async fn known(run: &Run, site: &Site) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = run.truth.brought.iter().cloned().collect();
    let client = &site.users[0];
    let mut from = String::new();
    loop {
        let rest = format!("messages?dir=b&limit=100{from}");
        let page = client.look(&run.room_id, &rest).await.ok();
        known.extend(ids(&page["chunk"]));
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", encode(end)),
            None => break,
        }
    }
    known.extend(state(run, site).await);
    known
}

async fn state(run: &Run, site: &Site) -> BTreeSet<String> {
    let state = site.users[0].look(&run.room_id, "state").await.ok();
    ids(&state).into_iter().collect()
}

async fn ends(run: &Run, site: &Site) -> BTreeSet<String> {
    let room_id = encode(&run.room_id);
    let path = format!("/_playhouse/admin/v1/rooms/{room_id}/graph");
    let told = site.boss.get(&path).await.ok();
    let ends = ids(&told["graph"]["forward_extremities"]);
    ends.into_iter().collect()
}

/// Asks for the way of an event until nothing is lacking, and answers how long the last answer took.
async fn followed(view: &View<'_>) -> (Value, Duration) {
    let (deadline, path) = (Instant::now() + PATIENCE, path(view.event_id));
    loop {
        let begun = Instant::now();
        let answer = view.site.boss.get(&path).await;
        let took = begun.elapsed();
        let lacks = match answer.status {
            200 => lacks(&answer.body, view),
            _ => vec!["an answer"],
        };
        if lacks.is_empty() {
            return (answer.body, took);
        }
        assert!(
            Instant::now() < deadline,
            "{} at {} lacks {lacks:?}: {}",
            view.event_id,
            view.site.name,
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn follow_all(run: &Run, site: &Site, found: &mut Found) -> BTreeSet<String> {
    let known = known(run, site).await;
    let (state, ends) = (state(run, site).await, ends(run, site).await);
    for event_id in &known {
        let view = View {
            run,
            site,
            state: &state,
            ends: &ends,
            event_id,
        };
        let (told, took) = followed(&view).await;
        found.took.push(took);
        found.resolved += usize::from(!list(&told["state"]["resolved"]).is_empty());
        let mut users = list(&told["users"]).iter();
        found.heard += usize::from(users.any(|user| user["feed"] == "heard"));
        found.count(&told);
    }
    known
}

impl Found {
    fn count(&mut self, told: &Value) {
        let mut destinations = list_or_none(&told["destinations"]).iter();
        let users = list_or_none(&told["users"]).iter();
        let mut pushes = users.flat_map(|user| list_or_none(&user["pushes"]));
        self.rejected += usize::from(told["verdict"] == "rejected");
        self.soft_failed += usize::from(told["verdict"] == "soft_failed");
        self.redacted += usize::from(told["redacted_by"].is_string());
        self.undelivered += usize::from(destinations.any(|one| one["state"] != "delivered"));
        self.unpushed += usize::from(pushes.any(|one| one["state"] == "waiting"));
    }

    #[expect(
        clippy::print_stdout,
        reason = "the figures belong into the test's output"
    )]
    fn tell(&mut self) {
        self.took.sort();
        let part = |percent: usize| self.took[(self.took.len() - 1) * percent / 100];
        println!(
            "{} journeys, complete: {:?} (median), {:?} (p99), {:?} (longest); the state was resolved for {}, feeds had heard of {}",
            self.took.len(),
            part(50),
            part(99),
            part(100),
            self.resolved,
            self.heard
        );
        println!(
            "of them {} of rejected events, {} of soft-failed, {} of redacted, {} of events not delivered to all, {} not pushed to all",
            self.rejected, self.soft_failed, self.redacted, self.undelivered, self.unpushed
        );
        let wished: u64 = wish("PLAYHOUSE_TEST_JOURNEY_MS").unwrap_or(50);
        let late = self.took.iter();
        let late = late
            .filter(|took| took.as_millis() >= u128::from(wished))
            .count();
        println!("{late} answers took {wished} ms or more");
        assert!(late == 0 || wish::<u64>("PLAYHOUSE_TEST_JOURNEY_MS").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_every_event_is_told_whole() {
    let mut run = Run::open().await;
    run.play().await;
    let mut found = Found::default();
    for site in &run.sites {
        let known = follow_all(&run, site, &mut found).await;
        let truth = &run.truth;
        let all = truth.rejected.iter().chain(&truth.soft_failed);
        let all = all.chain(truth.redacted.keys()).chain(truth.late.keys());
        for event_id in all {
            assert!(known.contains(event_id), "{event_id} at {}", site.name);
        }
    }
    assert!(found.resolved > 0, "the state was never resolved");
    assert!(found.heard > 0, "nobody has heard of anything");
    assert!(!run.truth.rejected.is_empty() && !run.truth.soft_failed.is_empty());
    let refusing = &run.carl;
    assert!(refusing.gateway.taken(&refusing.key).is_empty());
    let counts = [found.rejected, found.soft_failed, found.redacted];
    assert!(counts.iter().all(|count| *count > 0) && found.undelivered > 0);
    found.tell();
}
