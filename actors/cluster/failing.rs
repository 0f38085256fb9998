//! Shards that a node was given and could not take: its writers fail, or it does not reach their database. Others are told of it, so that they go elsewhere.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use playhouse_schema::address::Shard;

/// Who could not take a shard so often in a row says so: once may be by the way, when another has written it a moment ago.
const TIMES_MIN: u32 = 2;

/// After so long it is not known any more: the trouble may have passed, and the node may be given the shard again.
const TOLD_FOR: Duration = Duration::from_secs(600);

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Failing(BTreeMap<Shard, Trouble>);

struct Trouble {
    since: Instant,
    last: Instant,
    times: u32,
}

impl Failing {
    /// A shard could not be taken.
    pub(super) fn failed(&mut self, shard: Shard, now: Instant) {
        let trouble = self.0.entry(shard).or_insert(Trouble {
            since: now,
            last: now,
            times: 0,
        });
        trouble.last = now;
        trouble.times = trouble.times.saturating_add(1);
    }

    /// It could.
    pub(super) fn taken(&mut self, shard: Shard) {
        self.0.remove(&shard);
    }

    /// What is to be said: shards, and for how long they cannot be taken, milliseconds.
    pub(super) fn told(&mut self, now: Instant) -> BTreeMap<String, u64> {
        self.0
            .retain(|_, trouble| now.saturating_duration_since(trouble.last) < TOLD_FOR);
        let told = self.0.iter();
        let told = told.filter(|(_, trouble)| trouble.times >= TIMES_MIN);
        told.map(|(shard, trouble)| {
            let for_ms = now.saturating_duration_since(trouble.since).as_millis();
            (shard.to_string(), u64::try_from(for_ms).unwrap_or(u64::MAX))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::address::Family;

    use super::*;

    #[test]
    fn what_fails_again_is_told_until_it_works_or_is_old() {
        let shard = |number| Shard {
            family: Family::Rooms,
            number,
        };
        let (mut failing, now) = (Failing::default(), Instant::now());
        failing.failed(shard(1), now);
        failing.failed(shard(2), now);
        assert!(failing.told(now).is_empty(), "once may be by the way");
        let later = now + Duration::from_secs(1);
        failing.failed(shard(1), later);
        failing.failed(shard(2), later);
        let told = failing.told(later);
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [("rooms/1".to_owned(), 1_000), ("rooms/2".to_owned(), 1_000),]
        );
        failing.taken(shard(1));
        assert_eq!(failing.told(later).len(), 1);
        assert!(failing.told(later + TOLD_FOR).is_empty());
        assert!(failing.told(later).is_empty(), "it is forgotten");
    }
}
