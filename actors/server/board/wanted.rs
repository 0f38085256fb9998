//! Shards that have come to a node, and of which reading has not begun.

use std::collections::{BTreeMap, BTreeSet};

use playhouse_schema::address::ShardNumber;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Wanted {
    now: BTreeSet<ShardNumber>,
    /// Those that cannot begin yet, each with the time at which it is tried again, milliseconds since the Unix epoch.
    later: BTreeMap<ShardNumber, u64>,
}

impl Wanted {
    /// A shard has come.
    pub(crate) fn want(&mut self, number: ShardNumber) {
        self.later.remove(&number);
        self.now.insert(number);
    }

    /// Those that may begin.
    pub(crate) fn now(&self) -> Vec<ShardNumber> {
        self.now.iter().copied().collect()
    }

    /// One begins; not if it has left again meanwhile.
    pub(crate) fn begin(&mut self, number: ShardNumber) -> bool {
        self.now.remove(&number)
    }

    /// A shard has left.
    pub(crate) fn leave(&mut self, number: ShardNumber) {
        self.now.remove(&number);
        self.later.remove(&number);
    }

    /// Some of those that may begin cannot before this time.
    pub(crate) fn put_off(&mut self, numbers: &[ShardNumber], until_ms: u64) {
        for number in numbers {
            if self.now.remove(number) {
                self.later.insert(*number, until_ms);
            }
        }
    }

    /// Those for which it is time may begin.
    pub(crate) fn again(&mut self, now_ms: u64) {
        let now = &mut self.now;
        self.later.retain(|number, until_ms| {
            let is_due = *until_ms <= now_ms;
            if is_due {
                now.insert(*number);
            }
            !is_due
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_begin_keeps_nothing_else_from_it() {
        let mut wanted = Wanted::default();
        for number in 1..=4 {
            wanted.want(number);
        }
        wanted.leave(4);
        wanted.put_off(&[1, 2, 3, 4], 50);
        assert!(wanted.now().is_empty());
        assert!(!wanted.begin(1));
        // It comes once more, another one leaves.
        wanted.want(1);
        wanted.leave(2);
        assert_eq!(wanted.now(), [1]);
        assert!(wanted.begin(1));
        wanted.again(49);
        assert!(wanted.now().is_empty());
        wanted.again(50);
        assert_eq!(wanted.now(), [3]);
    }
}
