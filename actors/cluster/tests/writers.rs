//! Those who write while shards move.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{ROOMS, World, entity};
use crate::kernel::{
    Directory,
    tests::counter::{Counter, Order},
};

/// Writers that go on until told to stop, each with numbers of its own, and what they were told.
pub(super) struct Writers {
    is_over: Arc<AtomicBool>,
    /// Where to ask: nodes come and go.
    pub(super) doors: Arc<Mutex<Vec<Arc<Directory<Counter>>>>>,
    acked: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Ledger>>,
}

/// What became of the numbers of a writer, by room.
#[derive(Default)]
struct Ledger {
    acked: BTreeMap<usize, Vec<u64>>,
    doubtful: BTreeMap<usize, Vec<u64>>,
    longest: Duration,
}

impl Writers {
    pub(super) fn begin(count: usize, doors: Vec<Arc<Directory<Counter>>>) -> Self {
        let (is_over, doors) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(Mutex::new(doors)),
        );
        let (next, acked) = (Arc::new(AtomicU64::new(1)), Arc::<AtomicU64>::default());
        let tasks = (0..count).map(|writer| {
            let (is_over, doors, next) = (is_over.clone(), doors.clone(), next.clone());
            let acked = acked.clone();
            tokio::spawn(async move {
                let mut ledger = Ledger::default();
                let mut turn = writer;
                while !is_over.load(Ordering::SeqCst) {
                    turn += 1;
                    let (room, number) = (turn % ROOMS, next.fetch_add(1, Ordering::SeqCst));
                    let door = {
                        let doors = doors.lock();
                        doors[turn % doors.len()].clone()
                    };
                    let began = Instant::now();
                    let told = door.command(entity(room), Order::Add(number)).await;
                    ledger.longest = ledger.longest.max(began.elapsed());
                    let page = match told {
                        Ok(_) => {
                            acked.fetch_add(1, Ordering::SeqCst);
                            &mut ledger.acked
                        }
                        Err(_) => &mut ledger.doubtful,
                    };
                    page.entry(room).or_default().push(number);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                ledger
            })
        });
        Self {
            tasks: tasks.collect(),
            is_over,
            doors,
            acked,
        }
    }

    /// Waits until some more is acknowledged.
    pub(super) async fn go_on(&self) {
        let wanted = self.acked.load(Ordering::SeqCst) + 20;
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.acked.load(Ordering::SeqCst) < wanted {
            assert!(Instant::now() < deadline, "nothing more is acknowledged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the writers and compares what they were told with the log. Answers how many were in doubt, and the longest call.
    pub(super) async fn end(self, world: &World) -> (usize, Duration) {
        self.is_over.store(true, Ordering::SeqCst);
        let (mut doubtful, mut longest, mut acked) = (0, Duration::ZERO, 0);
        let mut ledgers = Vec::new();
        for task in self.tasks {
            ledgers.push(task.await.unwrap());
        }
        for room in 0..ROOMS {
            let added = world.added(room).await;
            let mut sorted = added.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), added.len(), "something was done twice");
            for ledger in &ledgers {
                for number in ledger.acked.get(&room).into_iter().flatten() {
                    assert!(sorted.binary_search(number).is_ok(), "{number} is lost");
                    acked += 1;
                }
            }
        }
        for ledger in &ledgers {
            doubtful += ledger.doubtful.values().map(Vec::len).sum::<usize>();
            longest = longest.max(ledger.longest);
        }
        assert!(acked > 0);
        (doubtful, longest)
    }
}
