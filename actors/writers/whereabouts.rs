//! How far those have come who read the log on this node and do something with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use playhouse_schema::address::{Family, Position, Shard, ShardNumber};

/// Where a reader is: everything up to there is done. It is known as long as the reader keeps this.
pub struct Whereabouts {
    name: &'static str,
    family: Family,
    /// By shard number.
    positions: Vec<AtomicU64>,
}

impl Whereabouts {
    /// It has come to these positions, by shard number.
    pub fn come_to(&self, positions: &[Position]) {
        for (at, position) in self.positions.iter().zip(positions) {
            at.store(*position, Ordering::Relaxed);
        }
    }

    fn behind(&self, head: &impl Fn(Shard) -> Position) -> u64 {
        let positions = (0..).zip(&self.positions);
        let behind = positions.map(|(number, at): (ShardNumber, &AtomicU64)| {
            let family = self.family;
            head(Shard { family, number }).saturating_sub(at.load(Ordering::Relaxed))
        });
        behind.fold(0, u64::saturating_add)
    }
}

/// All readers.
#[derive(Default)]
pub(super) struct Readers(Mutex<Vec<Weak<Whereabouts>>>);

impl Readers {
    /// Another one, which has come to these positions.
    pub(super) fn begin(
        &self,
        (name, family): (&'static str, Family),
        positions: &[Position],
    ) -> Arc<Whereabouts> {
        let positions = positions.iter().map(|position| AtomicU64::new(*position));
        let whereabouts = Arc::new(Whereabouts {
            name,
            family,
            positions: positions.collect(),
        });
        let mut readers = self.0.lock();
        readers.retain(|reader| reader.strong_count() > 0);
        readers.push(Arc::downgrade(&whereabouts));
        whereabouts
    }

    /// By how many positions each of them is behind the heads. Parts of one reader (`name/03`) are one.
    pub(super) fn lags(&self, head: impl Fn(Shard) -> Position) -> BTreeMap<String, u64> {
        let readers = self.0.lock();
        let mut lags = BTreeMap::new();
        for reader in readers.iter().filter_map(Weak::upgrade) {
            let name = reader.name.split('/').next().unwrap_or_default();
            let lag = lags.entry(name.to_owned()).or_insert(0_u64);
            *lag = lag.saturating_add(reader.behind(&head));
        }
        lags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_is_known_as_long_as_it_does() {
        let readers = Readers::default();
        let head = |shard: Shard| match shard.family {
            Family::Rooms => 10,
            _ => 0,
        };
        assert!(readers.lags(head).is_empty());
        let one = readers.begin(("one/00", Family::Rooms), &[3, 10]);
        let other = readers.begin(("one/01", Family::Rooms), &[10, 20]);
        let users = readers.begin(("users", Family::Users), &[0, 0]);
        let lags = |expected: &[(&str, u64)]| {
            let expected = expected.iter();
            let expected: BTreeMap<_, _> = expected
                .map(|(name, lag)| ((*name).to_owned(), *lag))
                .collect();
            assert_eq!(readers.lags(head), expected);
        };
        lags(&[("one", 7), ("users", 0)]);
        one.come_to(&[9, 10]);
        lags(&[("one", 1), ("users", 0)]);
        drop((one, users));
        lags(&[("one", 0)]);
        drop(other);
        lags(&[]);
    }
}
