//! What providers said that is good once: answers to questions, logouts. Remembered by this node until nobody would believe it again.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// So much is remembered; while there is more, nothing is believed.
const USED_MAX: usize = 20_000;

/// What was used, and until when it would be believed again.
#[derive(Debug, Default)]
pub(super) struct Used(Mutex<BTreeMap<String, u64>>);

impl Used {
    /// Notes that something is used. `false`: it was used before, or there is no room to remember it.
    pub(super) fn note(&self, name: String, until_ms: u64, now_ms: u64) -> bool {
        let mut used = self.0.lock();
        if used.len() >= USED_MAX {
            used.retain(|_, until_ms| *until_ms > now_ms);
        }
        if used.len() >= USED_MAX || used.contains_key(&name) {
            return false;
        }
        used.insert(name, until_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_used_once() {
        let used = Used::default();
        assert!(used.note("a".to_owned(), 10, 0));
        assert!(!used.note("a".to_owned(), 10, 0));
        for number in 1..USED_MAX {
            assert!(used.note(number.to_string(), 20, 0));
        }
        assert!(!used.note("b".to_owned(), 20, 0));
        assert!(used.note("b".to_owned(), 20, 15));
    }
}
