//! Which destinations took something of late, and which of those take nothing now: what tells trouble of our own from servers that are gone for good.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};

use super::OutboxBoard;

/// Who took something within this time counts.
const LATELY_MS: u64 = 24 * 60 * 60 * 1000;

/// So many are remembered, the first to come.
const REMEMBERED_MAX: usize = 100_000;

/// When destinations last took something.
#[derive(Default)]
pub(super) struct Reached(Mutex<BTreeMap<OwnedServerName, u64>>);

/// What the board tells of destinations that took something within the last day, as far as this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// So many there are.
    pub reached: usize,
    /// So many of them did not take the last attempt.
    pub failing: usize,
}

impl OutboxBoard {
    /// A destination has taken something.
    pub(in crate::server) fn note_reached(&self, name: &ServerName, now_ms: u64) {
        let mut reached = self.reached.0.lock();
        if let Some(known_ms) = reached.get_mut(name) {
            *known_ms = now_ms;
        } else if reached.len() < REMEMBERED_MAX {
            reached.insert(name.to_owned(), now_ms);
        }
    }

    /// Who was reached of late, and is not now.
    pub fn reach(&self, now_ms: u64) -> Reach {
        let mut reached = self.reached.0.lock();
        reached.retain(|_, taken_ms| now_ms.saturating_sub(*taken_ms) < LATELY_MS);
        let names: Vec<_> = reached.keys().cloned().collect();
        drop(reached);
        Reach {
            failing: names.iter().filter(|name| self.waits(name)).count(),
            reached: names.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;
    use crate::server::board::{Layout, Positions};

    #[test]
    fn who_is_gone_for_a_day_counts_no_more() {
        let nowhere = Positions::new();
        let board = OutboxBoard::new(Layout::default(), &nowhere, &nowhere);
        let [near, far] = [server_name!("near.example"), server_name!("far.example")];
        board.note_reached(near, 1);
        board.note_reached(far, 5);
        board.slot(far).wait_until(77);
        let told = |reached, failing| Reach { reached, failing };
        assert_eq!(board.reach(6), told(2, 1));
        board.slot(far).wait_until(0);
        assert_eq!(board.reach(LATELY_MS + 1), told(1, 0));
        assert_eq!(board.reach(LATELY_MS + 5), told(0, 0));
    }
}
