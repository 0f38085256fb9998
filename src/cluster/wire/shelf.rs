//! What is too large for one frame lies here until the other node has fetched it part by part, or its time is over.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;

/// Larger frames go in parts, and a part is no larger.
pub(super) const PART_BYTES_MAX: usize = 2 << 20;

/// Nothing is larger.
pub(super) const WHOLE_BYTES_MAX: usize = 64 << 20;

/// So much lies here at most.
const SHELF_BYTES_MAX: usize = 256 << 20;

/// So many things lie here at most.
const SHELF_LENGTH_MAX: usize = 256;

/// For so long.
const SHELF_TIME: Duration = Duration::from_secs(30);

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Things>);

#[derive(Default)]
struct Things {
    next: u64,
    bytes: usize,
    things: BTreeMap<u64, Thing>,
}

struct Thing {
    content: Bytes,
    /// On which connection it may be fetched.
    connection: Uuid,
    until: Instant,
}

impl Things {
    fn remove(&mut self, ticket: u64) {
        if let Some(thing) = self.things.remove(&ticket) {
            self.bytes -= thing.content.len();
        }
    }

    fn tidy(&mut self) {
        let now = Instant::now();
        let old = self.things.iter().filter(|(_, thing)| thing.until <= now);
        let old: Vec<u64> = old.map(|(ticket, _)| *ticket).collect();
        old.into_iter().for_each(|ticket| self.remove(ticket));
    }
}

impl Shelf {
    /// Lays something here for who is on a connection. `None` when it is too large, or there is no room.
    pub(super) fn put(&self, connection: Uuid, content: Bytes) -> Option<u64> {
        let mut things = self.0.lock();
        things.tidy();
        if content.len() > WHOLE_BYTES_MAX
            || things.bytes + content.len() > SHELF_BYTES_MAX
            || things.things.len() >= SHELF_LENGTH_MAX
        {
            return None;
        }
        things.next += 1;
        things.bytes += content.len();
        let ticket = things.next;
        let thing = Thing {
            content,
            connection,
            until: Instant::now() + SHELF_TIME,
        };
        things.things.insert(ticket, thing);
        Some(ticket)
    }

    /// A part of something. With the last part it is gone.
    pub(super) fn part(&self, connection: Uuid, ticket: u64, offset: u64) -> Option<Bytes> {
        let mut things = self.0.lock();
        things.tidy();
        let thing = things.things.get(&ticket)?;
        if thing.connection != connection {
            return None;
        }
        let from = usize::try_from(offset).ok()?;
        let length = thing.content.len();
        if from >= length {
            return None;
        }
        let to = length.min(from.saturating_add(PART_BYTES_MAX));
        let part = thing.content.slice(from..to);
        if to == length {
            things.remove(ticket);
        }
        Some(part)
    }

    /// Nobody wants it any more.
    pub(super) fn remove(&self, ticket: u64) {
        self.0.lock().remove(ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Uuid = Uuid::from_u128(1);

    #[test]
    fn parts_make_the_whole() {
        let shelf = Shelf::default();
        let whole: Vec<u8> = (0..PART_BYTES_MAX * 2 + 5).map(|at| at as u8).collect();
        let ticket = shelf.put(LINE, whole.clone().into()).unwrap();
        assert_eq!(shelf.part(Uuid::from_u128(2), ticket, 0), None);
        let mut fetched = Vec::new();
        while fetched.len() < whole.len() {
            let part = shelf.part(LINE, ticket, fetched.len() as u64).unwrap();
            assert!(part.len() <= PART_BYTES_MAX);
            fetched.extend_from_slice(&part);
        }
        assert!(fetched == whole);
        assert_eq!(shelf.part(LINE, ticket, 0), None);
        assert_eq!(shelf.0.lock().bytes, 0);
    }

    #[test]
    fn the_shelf_is_bounded() {
        let shelf = Shelf::default();
        let large = Bytes::from(vec![0; WHOLE_BYTES_MAX]);
        assert_eq!(shelf.put(LINE, vec![0; WHOLE_BYTES_MAX + 1].into()), None);
        let tickets: Vec<_> = (0..4)
            .map(|_| shelf.put(LINE, large.clone()).unwrap())
            .collect();
        assert_eq!(shelf.put(LINE, Bytes::from_static(b"x")), None);
        shelf.remove(tickets[0]);
        for _ in 3..SHELF_LENGTH_MAX {
            shelf.put(LINE, Bytes::from_static(b"x")).unwrap();
        }
        assert_eq!(shelf.put(LINE, Bytes::from_static(b"x")), None);
    }

    #[test]
    fn what_nobody_fetches_goes() {
        let shelf = Shelf::default();
        let ticket = shelf.put(LINE, Bytes::from_static(b"x")).unwrap();
        let mut things = shelf.0.lock();
        things.things.get_mut(&ticket).unwrap().until = Instant::now();
        drop(things);
        assert_eq!(shelf.part(LINE, ticket, 0), None);
        assert_eq!(shelf.part(LINE, ticket + 1, 0), None);
    }
}
