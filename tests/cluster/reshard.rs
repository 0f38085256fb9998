//! Nodes come and go under steady load, and no client notices.
//!
//! `PLAYHOUSE_TEST_RESHARD_ROUNDS` asks for the full size: 200 rooms, 64 writers and 64 readers, four nodes that become eight and then three, as often as it
//! says. `PLAYHOUSE_TEST_RESHARD_ROOMS`, `…_WRITERS`, `…_READERS` and `…_PAUSE_MS` (between two messages of one writer) change it.

use std::time::{Duration, Instant};

use super::{
    fleet::Fleet,
    load::{Load, Plan},
    shared::Shared,
};
use crate::harness::wish;

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
    let mut fleet = Fleet::start(Shared::steady(), size.nodes[0], false).await;
    let load = Load::begin(&fleet.front.base(), &size.plan).await;
    load.until_acked(size.between).await;
    for round in 1..=size.rounds {
        for count in size.nodes {
            fleet.grow_to(count).await;
            fleet.shrink_to(count).await;
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
    assert!(outcome.report.is_clean(), "{}", outcome.report);
    assert_eq!(outcome.figures.failures(), 0, "{}", outcome.figures);
    assert_eq!(outcome.stalls.longest.len(), size.plan.rooms);
}
