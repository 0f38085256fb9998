//! How busy the shards of this node are.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Shard},
    port::{Head, StoredRecord},
};

use super::{
    balance::Loads,
    facts::{HOT_MAX, HotRoom},
    hot::Hot,
};
use crate::writers::Relay;

/// What was written so long ago counts a third of what is written now: a shard moves because it is busy, not because it was for a moment.
const MEMORY: Duration = Duration::from_secs(30);

/// Of a shard that has not been here so long nothing is said.
const WATCHED_MIN: Duration = Duration::from_secs(10);

/// Counts what the writers commit, and passes it on.
pub struct Scales {
    next: Arc<dyn Relay>,
    weights: Mutex<Weights>,
    hot: Mutex<Hot>,
}

struct Weights {
    /// Records since they were weighed last.
    counted: BTreeMap<Shard, u64>,
    loads: BTreeMap<Shard, Load>,
    weighed: Instant,
}

#[derive(Clone, Copy)]
struct Load {
    /// Records a second, as far as the time since it came here allows.
    rate: f64,
    since: Instant,
}

impl Scales {
    /// Scales before something that hears of commits, too.
    pub fn before(next: Arc<dyn Relay>) -> Self {
        Self {
            next,
            weights: Mutex::new(Weights {
                counted: BTreeMap::new(),
                loads: BTreeMap::new(),
                weighed: Instant::now(),
            }),
            hot: Mutex::new(Hot::new()),
        }
    }

    /// Records a second of these shards, on average over the last half minute; of those that came here just now nothing is said. Of others nothing is
    /// remembered.
    pub fn loads(&self, of: &[Shard]) -> Loads {
        self.loads_at(Instant::now(), of)
    }

    /// The rooms that this node has written most in the last half minute.
    pub fn hottest(&self) -> Vec<HotRoom> {
        self.hot.lock().hottest(Instant::now(), HOT_MAX)
    }

    fn loads_at(&self, now: Instant, of: &[Shard]) -> Loads {
        let mut weights = self.weights.lock();
        let passed = now.saturating_duration_since(weights.weighed);
        if !passed.is_zero() {
            let counted = std::mem::take(&mut weights.counted);
            let known = std::mem::take(&mut weights.loads);
            let kept = kept_of(passed);
            for shard in of {
                let count = counted.get(shard).copied().unwrap_or(0);
                let rate = count as f64 / passed.as_secs_f64();
                let first = Load {
                    rate: 0.0,
                    since: weights.weighed,
                };
                let load = known.get(shard).copied().unwrap_or(first);
                let rate = load.rate * kept + rate * (1.0 - kept);
                weights.loads.insert(*shard, Load { rate, ..load });
            }
            weights.weighed = now;
        }
        let mut loads = Loads::new();
        for (shard, load) in &weights.loads {
            let watched = now.saturating_duration_since(load.since);
            if watched >= WATCHED_MIN {
                // What was before it came counts as nothing in the rate.
                loads.insert(*shard, load.rate / (1.0 - kept_of(watched)));
            }
        }
        loads
    }
}

/// How much of what was is still counted after a time.
fn kept_of(passed: Duration) -> f64 {
    (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp()
}

impl Relay for Scales {
    fn committed(&self, family: Family, records: &Arc<[StoredRecord]>, heads: &[Head]) {
        {
            let mut weights = self.weights.lock();
            for record in records.iter() {
                *weights.counted.entry(record.shard).or_default() += 1;
            }
        }
        if family == Family::Rooms {
            self.hot.lock().count(Instant::now(), records);
        }
        self.next.committed(family, records, heads);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Relay for Nobody {
        fn committed(&self, _: Family, _: &Arc<[StoredRecord]>, _: &[Head]) {}
    }

    #[test]
    fn a_moment_weighs_little_and_what_lasts_weighs_all() {
        let scales = Scales::before(Arc::new(Nobody));
        let shard = Shard {
            family: Family::Rooms,
            number: 1,
        };
        let mut now = scales.weights.lock().weighed;
        let mut weigh = |records: u64| {
            now += Duration::from_secs(1);
            scales.weights.lock().counted.insert(shard, records);
            scales.loads_at(now, &[shard]).get(&shard).copied()
        };
        for _ in 0..9 {
            assert_eq!(weigh(100), None);
        }
        let is_about = |load: Option<f64>, expected: f64| {
            let load = load.expect("it is known");
            assert!((load - expected).abs() < 2.0, "{load}");
        };
        is_about(weigh(100), 100.0);
        for _ in 0..300 {
            is_about(weigh(100), 100.0);
        }
        // A moment.
        assert!(weigh(200).expect("it is known") < 105.0);
        for _ in 0..300 {
            weigh(0);
        }
        is_about(weigh(0), 0.0);
        assert!(
            scales
                .loads_at(Instant::now() + Duration::from_secs(9_999), &[])
                .is_empty()
        );
    }
}
