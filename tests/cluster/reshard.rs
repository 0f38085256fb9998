//! Nodes come and go under steady load, and no client notices.
//!
//! `PLAYHOUSE_TEST_RESHARD_ROUNDS` asks for the full size: 200 rooms, 64 writers and 64 readers, four nodes that become eight and then three, as often as it
//! says. `PLAYHOUSE_TEST_RESHARD_ROOMS`, `…_WRITERS`, `…_READERS` and `…_PAUSE_MS` (between two messages of one writer) change it. `…_STALL_MS` is the longest
//! that a room may stand still (no more than told otherwise), `…_LEASE_MS` the lease of nodes (a long one: none is killed here).

use std::time::{Duration, Instant};

use super::{
    figures::Stalls,
    fleet::Fleet,
    load::{Load, Outcome, Plan},
    shared::Shared,
};
use crate::harness::{
    is_durable,
    made::{now_ms, of_day},
    wish,
};

const NS_IN_MS: u64 = 1_000_000;

/// A room stands still for less.
const STALL: Duration = Duration::from_millis(250);

/// How much there is of everything.
struct Size {
    rounds: usize,
    /// Nodes at the beginning, in the middle and at the end of a round.
    nodes: [usize; 3],
    /// So many messages are acknowledged between two changes.
    between: usize,
    plan: Plan,
}

fn size() -> Size {
    let rounds = wish("PLAYHOUSE_TEST_RESHARD_ROUNDS");
    let is_full = rounds.is_some();
    let either = |full: usize, short: usize| if is_full { full } else { short };
    let wished = |name: &str, full, short| {
        let variable = format!("PLAYHOUSE_TEST_RESHARD_{name}");
        wish(&variable).unwrap_or_else(|| either(full, short))
    };
    let pause_ms = wished("PAUSE_MS", 200, 50);
    Size {
        rounds: rounds.unwrap_or(1),
        nodes: if is_full { [4, 8, 3] } else { [2, 4, 2] },
        between: either(1_000, 80),
        plan: Plan {
            name: "reshard",
            rooms: wished("ROOMS", 200, 8),
            writers: wished("WRITERS", 64, 4),
            readers: wished("READERS", 64, 4),
            sliders: either(8, 1),
            pause: Duration::from_millis(pause_ms as u64),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_come_and_go_and_no_client_notices() {
    let size = size();
    let begun = Instant::now();
    let lease_ms = wish("PLAYHOUSE_TEST_RESHARD_LEASE_MS");
    let shared = lease_ms.map_or_else(Shared::steady, |lease_ms| Shared::of_lease(Some(lease_ms)));
    println!(
        "{} rounds of {:?} nodes; {:?}; PostgreSQL waits for the disk: {}",
        size.rounds,
        size.nodes,
        size.plan,
        is_durable()
    );
    let mut fleet = Fleet::start(shared, size.nodes[0], false).await;
    let load = Load::begin(&fleet.front.base(), &size.plan).await;
    let zero_ms = now_ms() - load.now_ns() / NS_IN_MS;
    load.until_acked(size.between).await;
    let mut moves = Vec::new();
    for round in 1..=size.rounds {
        for count in size.nodes {
            let since_ns = load.now_ns();
            fleet.grow_to(count).await;
            fleet.shrink_to(count).await;
            moves.push((since_ns, load.now_ns()));
            load.until_acked(size.between).await;
        }
        println!(
            "round {round} after {:?}: {} acknowledged",
            begun.elapsed(),
            load.acked()
        );
    }
    let outcome = load.end().await;
    println!("{}\n{}", outcome.figures, outcome.stalls);
    tell(&outcome, &moves);
    tell_worst(&outcome.stalls, zero_ms, &fleet.deeds);
    assert!(outcome.report.is_clean(), "{}", outcome.report);
    assert_eq!(outcome.figures.failures(), 0, "{}", outcome.figures);
    assert_eq!(outcome.stalls.longest.len(), size.plan.rooms);
    if let Some(stall_ms) = wish("PLAYHOUSE_TEST_RESHARD_STALL_MS") {
        let longest = outcome.stalls.max();
        assert!(longest <= Duration::from_millis(stall_ms), "{longest:?}");
    }
}

/// What moves do, and what this machine does by itself.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell(outcome: &Outcome, moves: &[(u64, u64)]) {
    let parted = Stalls::parted(&outcome.loaded, moves);
    for (when, stalls) in ["while nodes come and go", "while nothing moves"]
        .iter()
        .zip(&parted)
    {
        let over = stalls.all.iter().filter(|stall| **stall > STALL).count();
        print!("{when}: {over} longer than {STALL:?}\n{stalls}");
    }
    println!("the report: {}", outcome.report);
}

/// The worst, when they were, and what was last begun then.
#[expect(
    clippy::print_stdout,
    reason = "the figures belong into the test's output"
)]
fn tell_worst(stalls: &Stalls, zero_ms: u64, deeds: &[(u64, String)]) {
    for (since_ns, at_ns) in &stalls.worst {
        let since_ms = zero_ms + since_ns / NS_IN_MS;
        let lasted = Duration::from_nanos(at_ns - since_ns);
        let before = deeds.partition_point(|(begun_ms, _)| *begun_ms <= since_ms);
        let (begun_ms, deed) = match deeds[..before].last() {
            Some((begun_ms, deed)) => (*begun_ms, deed.as_str()),
            None => (zero_ms, "nothing yet"),
        };
        let after_ms = since_ms.saturating_sub(begun_ms);
        println!(
            "{}: {lasted:?}, {after_ms} ms after: {deed}",
            of_day(since_ms)
        );
    }
}
