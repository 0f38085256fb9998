//! One node under load behind the balancer: what the checker says of it, and of the load itself.

use std::time::Duration;

use super::load::{Load, Outcome, Plan};
use crate::harness::{Front, TestServer};

const PLAN: Plan = Plan {
    name: "steady",
    rooms: 4,
    writers: 6,
    readers: 4,
    sliders: 2,
    pause: Duration::from_millis(5),
};

#[track_caller]
fn assert_clean(outcome: &Outcome) {
    assert!(
        outcome.report.is_clean(),
        "{}\n{}",
        outcome.figures,
        outcome.report
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_and_nothing_is_wrong() {
    let server = TestServer::start().await;
    let front = Front::before(&[server.base()], false);
    let load = Load::begin(&front.base(), &PLAN).await;
    load.until_acked(600).await;
    let outcome = load.end().await;
    assert_clean(&outcome);
    assert_eq!(outcome.figures.failures(), 0, "{}", outcome.figures);
    assert_eq!(outcome.stalls.longest.len(), PLAN.rooms);
    println!("{}\n{}", outcome.figures, outcome.stalls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_fails_requests_and_breaks_no_rule() {
    let mut server = TestServer::start().await;
    let front = Front::before(&[server.base()], false);
    let load = Load::begin(&front.base(), &PLAN).await;
    for _ in 0..3 {
        load.until_acked(200).await;
        server.kill();
        server.start_again();
        front.set(&[server.base()]);
    }
    load.until_acked(200).await;
    let outcome = load.end().await;
    assert_clean(&outcome);
    assert!(outcome.figures.failures() > 0, "{}", outcome.figures);
    println!("{}\n{}", outcome.figures, outcome.stalls);
}
