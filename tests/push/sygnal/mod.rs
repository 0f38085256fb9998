//! Beside Sygnal, the gateway that ours replaces: the same requests to both, our homeserver in front of it, and Synapse in front of ours.
//!
//! `PLAYHOUSE_TEST_SYGNAL` names a Python that has Sygnal 0.17.0 with the versions of its own lock file (later ones of its dependencies break it). Without it
//! only the test with Synapse is run. Apple, Google and push services are providers on this machine: `start.py` leads Sygnal to them.

mod cases;
mod known;
mod outcome;
mod pairs;
mod process;
mod report;
mod stage;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Semaphore;

use self::{
    cases::Case,
    outcome::{Outcome, Sent, key_of},
    process::{Sygnal, python},
    report::Report,
    stage::Stage,
};
use super::gateway::TestGateway;
use crate::harness::Client;

/// At least so many requests are compared.
const REQUESTS_MIN: usize = 300;

/// So many are under way at once.
const AT_ONCE: usize = 48;

/// What waits in our gateway has ended within this time: Google is left alone for a minute at a time.
const EMPTY_WITHIN: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_come_to_the_same_or_it_is_known_why() {
    let Some(python) = python() else { return };
    let stage = Stage::set().await;
    let cases = cases::all(&stage);
    let requests: usize = cases.iter().map(|case| case.times).sum();
    assert!(requests >= REQUESTS_MIN, "{requests}");

    let providers = [&stage.provider, &stage.sandbox];
    let sygnal = Sygnal::start(&python, providers, &stage.apps()).await;
    let theirs = play(&stage, &cases, &Client::new(sygnal.base()), async || {}).await;
    println!("Sygnal's log has {} lines", sygnal.said().lines().count());
    drop(sygnal);
    let gateway = stage.gateway("");
    let ours = play(&stage, &cases, &gateway.client(), async || {
        until_empty(&gateway).await;
    })
    .await;

    let report = Report::of(&cases, &theirs, &ours);
    println!(
        "{requests} requests\n\n{report}\nevery single difference:\n\n{}",
        report.every()
    );
    let (unknown, gone) = (report.unknown(), report.gone());
    assert!(unknown.is_empty(), "unknown differences: {unknown:#?}");
    assert!(gone.is_empty(), "differences that are gone: {gone:#?}");
}

/// Asks everything of a gateway, waits until it has nothing left to do, and tells what came of it.
async fn play(
    stage: &Stage,
    cases: &[Case],
    client: &Client,
    ended: impl AsyncFn(),
) -> Vec<Outcome> {
    let devices = cases.iter().flat_map(|case| case.devices.iter().cloned());
    stage.will_say(devices);
    // What came before is no business of this gateway.
    let inside = stage.inside.seen().len();
    drop((stage.provider.taken(), stage.sandbox.taken()));
    let places = &Semaphore::new(AT_ONCE);
    let asked = cases.iter().map(|case| async move {
        if case.alone {
            return None;
        }
        let _place = places.acquire().await;
        Some(ask(client, case).await)
    });
    let mut outcomes = Vec::new();
    for (outcome, case) in join_all(asked).await.into_iter().zip(cases) {
        outcomes.push(match outcome {
            Some(outcome) => outcome,
            None => ask(client, case).await,
        });
    }
    ended().await;
    let providers = [&stage.provider, &stage.sandbox];
    for (provider, seen) in providers.map(|provider| (provider.url(), provider.taken())) {
        let at = provider.trim_start_matches("https://");
        for seen in seen.iter().filter(|seen| seen.path != "/token") {
            let sent = Sent::of(seen, at, &stage.browser);
            record(cases, &mut outcomes, (key_of(seen), sent));
        }
    }
    for seen in stage.inside.seen().iter().skip(inside) {
        let key = seen.target.rsplit('/').next().unwrap_or_default();
        record(cases, &mut outcomes, (key.to_owned(), Sent::anything()));
    }
    outcomes
}

/// Puts down what a provider got. What is for no device that was meant is told, not compared: its pushkey was nonsense.
#[expect(
    clippy::print_stdout,
    reason = "who runs the tests should know what is not compared"
)]
fn record(cases: &[Case], outcomes: &mut [Outcome], (key, sent): (String, Sent)) {
    let meant = |case: &Case| case.devices.iter().any(|(device, _)| *device == key);
    match cases.iter().position(meant) {
        Some(place) => outcomes[place].sent.entry(key).or_default().push(sent),
        None => println!("for nobody: {} {key:?}", sent.kind),
    }
}

async fn ask(client: &Client, case: &Case) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    for _ in 0..case.times {
        let answer = client.raw(case.method.clone(), case.path, case.body.clone());
        outcome = Outcome::of(answer.await, begun.elapsed());
    }
    outcome
}

async fn until_empty(gateway: &TestGateway) {
    let end = Instant::now() + EMPTY_WITHIN;
    loop {
        let (_, figures) = gateway.client().text("/metrics").await;
        if figures
            .lines()
            .any(|line| line == "playhouse_push_waiting 0")
        {
            return;
        }
        assert!(Instant::now() < end, "something waits for ever: {figures}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
