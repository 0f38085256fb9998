//! How much goes into a transaction, and what becomes of one that is too large for its destination.

use playhouse_schema::record::server::Departed;

use super::body::add_event;

/// Transactions are filled up to so many bytes. Playhouse takes 10 MiB, and receipts, presence and who types come on top.
const BYTES_MAX: usize = 8 << 20;

/// An event has no more bytes than that (client-server API, "Size limits").
const EVENT_BYTES_MAX: usize = 65_536;

/// What is not larger cannot be too large for a server that is in order.
pub(super) const SMALL_BYTES: usize = 16 << 10;

/// What there is still room for in a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    parts: usize,
    bytes: usize,
}

impl Space {
    /// In a transaction with so many events and room for so many ephemeral parts.
    pub(super) fn of(events: usize, parts: usize) -> Self {
        Self {
            parts,
            bytes: BYTES_MAX.saturating_sub(events * EVENT_BYTES_MAX),
        }
    }

    /// Takes up room; `false` where there is not enough.
    pub(super) fn take(&mut self, parts: usize, bytes: usize) -> bool {
        let fits = parts <= self.parts && bytes <= self.bytes;
        if fits {
            self.parts -= parts;
            self.bytes -= bytes;
        }
        fits
    }

    /// How many of the first of these parts, told by their sizes, there is room for: at least one, or nothing would ever be sent.
    pub(super) fn fitting(mut self, sizes: impl IntoIterator<Item = usize>) -> usize {
        let fits = sizes.into_iter().take_while(|bytes| self.take(1, *bytes));
        fits.count().max(1)
    }
}

/// A transaction in two, each under an ID of its own that follows from the transaction's: whoever sends the same transaction again sends the same halves.
/// `None` when there is only one thing in it.
pub(super) fn halves(departed: &Departed) -> Option<[Departed; 2]> {
    let events = departed.events.iter().map(|run| run.sequences.len());
    let events: usize = events.sum();
    let count = events + departed.to_device.len() + departed.edus.len();
    if count < 2 {
        return None;
    }
    let mut halves = ['a', 'b'].map(|name| Departed {
        transaction_id: format!("{}{name}", departed.transaction_id),
        at_ms: departed.at_ms,
        ..Departed::default()
    });
    let mut placed = 0;
    let mut next = || {
        placed += 1;
        usize::from(placed > count / 2)
    };
    for run in &departed.events {
        for sequence in &run.sequences {
            add_event(&mut halves[next()].events, &run.room_id, *sequence);
        }
    }
    for sending in &departed.to_device {
        halves[next()].to_device.push(sending.clone());
    }
    for edu in &departed.edus {
        halves[next()].edus.push(edu.clone());
    }
    Some(halves)
}

#[cfg(test)]
mod tests {
    use playhouse_schema::record::server::{EventRun, Lag, Progress, ToDeviceRef};

    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn transactions_are_filled_up_to_a_size() {
        let space = Space::of(0, 54);
        assert_eq!(space.fitting([MIB; 50]), 8);
        assert_eq!(space.fitting([20 * MIB, 1]), 1);
        assert_eq!(space.fitting([1; 60]), 54);
        assert_eq!(Space::of(50, 54).fitting([MIB; 50]), 4);
        let mut space = Space::of(0, 54);
        assert!(space.take(50, 7 * MIB));
        assert!(!space.take(5, 1) && !space.take(1, 2 * MIB));
        assert!(space.take(4, MIB) && !space.take(1, 0));
    }

    #[test]
    fn halves_have_everything_once_and_the_same_names_each_time() {
        let departed = Departed {
            transaction_id: "t".to_owned(),
            at_ms: 5,
            events: vec![EventRun {
                room_id: "!r:x".to_owned(),
                sequences: vec![1, 2, 3],
            }],
            to_device: vec![ToDeviceRef {
                user_id: "@a:x".to_owned(),
                sequence: 9,
            }],
            edus: vec![b"{}".to_vec().into()],
            progress: Progress {
                rooms: vec![("!r:x".to_owned(), 7)],
                users: Vec::new(),
            },
            done: Lag::default(),
            owed: 0,
        };
        let [first, second] = halves(&departed).expect("five things");
        assert_eq!((first.transaction_id.as_str(), first.at_ms), ("ta", 5));
        assert_eq!((second.transaction_id.as_str(), second.at_ms), ("tb", 5));
        assert_eq!(first.events[0].sequences, [1, 2]);
        assert_eq!(second.events[0].sequences, [3]);
        assert_eq!(second.to_device, departed.to_device);
        assert_eq!(second.edus, departed.edus);
        assert!(first.to_device.is_empty() && first.edus.is_empty());
        assert_eq!(halves(&departed), Some([first.clone(), second]));
        let [alone, _] = halves(&first).expect("two things");
        assert_eq!(alone.transaction_id, "taa");
        assert_eq!(halves(&alone), None);
    }
}
