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

use super::balance::Loads;
use crate::writers::Relay;

/// What was written so long ago counts a third of what is written now: a shard moves because it is busy, not because it was for a moment.
const MEMORY: Duration = Duration::from_secs(30);

/// Counts what the writers commit, and passes it on.
pub struct Scales {
    next: Arc<dyn Relay>,
    weights: Mutex<Weights>,
}

struct Weights {
    /// Records since they were weighed last.
    counted: BTreeMap<Shard, u64>,
    /// Records a second.
    loads: Loads,
    weighed: Instant,
}

impl Scales {
    /// Scales before something that hears of commits, too.
    pub fn before(next: Arc<dyn Relay>) -> Self {
        Self {
            next,
            weights: Mutex::new(Weights {
                counted: BTreeMap::new(),
                loads: Loads::new(),
                weighed: Instant::now(),
            }),
        }
    }

    /// Records a second of these shards, on average over the last half minute. Of others nothing is remembered.
    pub fn loads(&self, of: &[Shard]) -> Loads {
        self.loads_at(Instant::now(), of)
    }

    fn loads_at(&self, now: Instant, of: &[Shard]) -> Loads {
        let mut weights = self.weights.lock();
        let seconds = now.saturating_duration_since(weights.weighed).as_secs_f64();
        if seconds > 0.0 {
            let counted = std::mem::take(&mut weights.counted);
            let kept = (-seconds / MEMORY.as_secs_f64()).exp();
            let fresh = |shard: &Shard| {
                let count = counted.get(shard).copied().unwrap_or(0);
                count as f64 / seconds * (1.0 - kept)
            };
            let loads = of.iter().map(|shard| {
                let before = weights.loads.get(shard).copied().unwrap_or(0.0);
                (*shard, before * kept + fresh(shard))
            });
            let loads: Loads = loads.collect();
            weights.loads = loads;
            weights.weighed = now;
        }
        weights.loads.clone()
    }
}

impl Relay for Scales {
    fn committed(&self, family: Family, records: &Arc<[StoredRecord]>, heads: &[Head]) {
        {
            let mut weights = self.weights.lock();
            for record in records.iter() {
                *weights.counted.entry(record.shard).or_default() += 1;
            }
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
            scales.loads_at(now, &[shard])[&shard]
        };
        assert!(weigh(100) < 5.0);
        for _ in 0..300 {
            weigh(100);
        }
        let load = weigh(100);
        assert!((99.0..101.0).contains(&load), "{load}");
        for _ in 0..300 {
            weigh(0);
        }
        assert!(weigh(0) < 1.0);
        now += Duration::from_secs(1);
        assert!(scales.loads_at(now, &[]).is_empty());
    }
}
