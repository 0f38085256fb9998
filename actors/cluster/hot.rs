//! Which rooms are written most, in bounded memory.
//!
//! A space-saving sketch for each few seconds: it has so many counters, and a room that has none takes over the smallest. What a counter had before is known as
//! its error, and is not counted as the room's: a room may be hotter than it is said to be, and never colder.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use playhouse_schema::{address::Shard, port::StoredRecord};

use super::facts::HotRoom;

/// Counters of a sketch.
const COUNTERS_MAX: usize = 256;

/// A sketch is of so long.
const SLICE: Duration = Duration::from_secs(5);

/// Rates are of so long at least.
const WINDOW: Duration = Duration::from_secs(30);

/// The present sketch, and those that make a window.
const SLICES_MAX: usize = 7;

/// See the module's documentation.
pub(super) struct Hot {
    /// The newest first.
    slices: VecDeque<Slice>,
}

struct Slice {
    begun: Instant,
    counters: BTreeMap<String, Counter>,
}

#[derive(Clone, Copy)]
struct Counter {
    shard: Shard,
    count: u64,
    /// So much of it may be of others.
    error: u64,
}

impl Hot {
    pub(super) fn new() -> Self {
        Self {
            slices: VecDeque::new(),
        }
    }

    /// Counts the records of rooms.
    pub(super) fn count(&mut self, now: Instant, records: &[StoredRecord]) {
        self.roll(now);
        let Some(slice) = self.slices.front_mut() else {
            return;
        };
        for record in records {
            if record.entity.prefix() == "room" {
                slice.count(record.entity.name(), record.shard);
            }
        }
    }

    /// The rooms with most records a second, at most so many.
    pub(super) fn hottest(&mut self, now: Instant, limit: usize) -> Vec<HotRoom> {
        self.roll(now);
        let begun = self.slices.back().map_or(now, |slice| slice.begun);
        let covered = now.saturating_duration_since(begun).max(WINDOW);
        let mut sums: BTreeMap<&str, (u64, Shard)> = BTreeMap::new();
        for slice in &self.slices {
            for (room_id, counter) in &slice.counters {
                let sum = sums.entry(room_id).or_insert((0, counter.shard));
                sum.0 += counter.count - counter.error;
            }
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, sum)| sum.0 > 0).collect();
        sums.sort_by(|one, other| other.1.0.cmp(&one.1.0).then(one.0.cmp(other.0)));
        sums.truncate(limit);
        let hot = sums.into_iter().map(|(room_id, (count, shard))| HotRoom {
            room_id: room_id.to_owned(),
            shard: shard.to_string(),
            rate: count as f64 / covered.as_secs_f64(),
        });
        hot.collect()
    }

    /// Begins a new slice when it is time, and forgets the old ones.
    fn roll(&mut self, now: Instant) {
        let age = |slice: &Slice| now.saturating_duration_since(slice.begun);
        if self.slices.front().is_none_or(|slice| age(slice) >= SLICE) {
            self.slices.push_front(Slice {
                begun: now,
                counters: BTreeMap::new(),
            });
        }
        self.slices.truncate(SLICES_MAX);
        // After a rest the slices are further apart.
        while self
            .slices
            .back()
            .is_some_and(|slice| age(slice) >= WINDOW + SLICE * 2)
        {
            self.slices.pop_back();
        }
    }
}

impl Slice {
    fn count(&mut self, room_id: &str, shard: Shard) {
        if let Some(counter) = self.counters.get_mut(room_id) {
            counter.count += 1;
            return;
        }
        let mut taken = 0;
        if self.counters.len() >= COUNTERS_MAX {
            let smallest = self
                .counters
                .iter()
                .min_by_key(|(_, counter)| counter.count);
            if let Some((smallest, counter)) =
                smallest.map(|(room_id, found)| (room_id.clone(), *found))
            {
                taken = counter.count;
                self.counters.remove(&smallest);
            }
        }
        let counter = Counter {
            shard,
            count: taken + 1,
            error: taken,
        };
        self.counters.insert(room_id.to_owned(), counter);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use playhouse_schema::address::{Entity, Family};

    use super::*;

    fn record(room_id: &str) -> StoredRecord {
        StoredRecord {
            shard: Shard {
                family: Family::Rooms,
                number: 1,
            },
            position: 1,
            entity: Entity::room(room_id),
            sequence: 1,
            kind: 1,
            key: None,
            epoch: 1,
            at_ms: 0,
            payload: Bytes::new(),
        }
    }

    #[test]
    fn who_is_written_most_is_first_among_many() {
        let mut hot = Hot::new();
        let mut now = Instant::now();
        let begun = now;
        for second in 0..60 {
            let mut records: Vec<_> = (0..40).map(|_| record("!hot:a")).collect();
            records.extend((0..20).map(|_| record("!warm:a")));
            // Each but once, and more than there are counters.
            records.extend((0..300).map(|number| record(&format!("!{second}.{number}:a"))));
            hot.count(now, &records);
            now = begun + Duration::from_secs(second + 1);
        }
        let hottest = hot.hottest(now, 2);
        let names: Vec<_> = hottest.iter().map(|room| &room.room_id[..]).collect();
        assert_eq!(names, ["!hot:a", "!warm:a"]);
        // Never more than there is.
        assert!(
            hottest[0].rate > 30.0 && hottest[0].rate <= 42.0,
            "{hottest:?}"
        );
        assert_eq!(hottest[0].shard, "rooms/1");
        let counters: usize = hot.slices.iter().map(|slice| slice.counters.len()).sum();
        assert!(counters <= SLICES_MAX * COUNTERS_MAX);
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut hot = Hot::new();
        let now = Instant::now();
        let other = StoredRecord {
            entity: Entity::alias("#a:a"),
            ..record("!a:a")
        };
        hot.count(
            now,
            &[record("!a:a"), record("!a:a"), record("!a:a"), other],
        );
        let hottest = hot.hottest(now, 20);
        assert_eq!(hottest.len(), 1);
        assert!((hottest[0].rate - 0.1).abs() < 0.001, "{hottest:?}");
        assert_eq!(hot.hottest(now + Duration::from_secs(120), 20), []);
    }
}
