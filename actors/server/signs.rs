//! Signs of life of a destination that failed: its requests of this server.
//!
//! The first one ends the waiting. Who asks and cannot be asked, as a server behind a broken proxy, must not be tried at each of its requests: signs that
//! came to nothing are heeded more and more rarely, until the destination was silent for a while or took something.

/// A sign that came to nothing is followed by another that counts after twice so long, then four times, and so on; milliseconds.
const WAIT_MS: u64 = 500;

/// Signs are heeded at least so often, however many came to nothing, milliseconds.
const WAIT_MAX_MS: u64 = 300_000;

/// Who was silent for so long, milliseconds, has come back.
const SILENCE_MS: u64 = 60_000;

/// What is known of a destination's signs of life since it last took something.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// One was heeded, and no attempt has begun since.
    is_fresh: bool,
    /// So many were heeded and came to nothing so far.
    heeded: u32,
    /// When the last of these came, milliseconds since the Unix epoch.
    heeded_ms: u64,
    /// When the last one came, heeded or not, milliseconds since the Unix epoch.
    heard_ms: u64,
}

impl Signs {
    /// A sign of life came: whether it counts.
    pub(super) fn heed(&mut self, now_ms: u64) -> bool {
        let is_back = now_ms.saturating_sub(self.heard_ms) >= SILENCE_MS;
        self.heard_ms = now_ms;
        if is_back {
            self.heeded = 0;
        }
        let wait_ms = match self.heeded {
            0 => 0,
            heeded => (WAIT_MS << heeded.min(16)).min(WAIT_MAX_MS),
        };
        if now_ms < self.heeded_ms.saturating_add(wait_ms) {
            return false;
        }
        self.heeded = self.heeded.saturating_add(1);
        self.heeded_ms = now_ms;
        true
    }

    /// It is to be tried at once.
    pub(super) fn freshen(&mut self) {
        self.is_fresh = true;
    }

    /// Whether it was to be tried at once, and no attempt has begun since.
    pub(super) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// An attempt begins: whether it is made because of a sign of life.
    pub(super) fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_that_come_to_nothing_count_more_and_more_rarely() {
        let mut signs = Signs::default();
        // It asks every half a second for half an hour, and nothing can be brought to it.
        let begin_ms = 1_763_838_000_000;
        let asks = (0..3_600).map(|number| begin_ms + number * 500);
        let heeded: Vec<_> = asks.filter(|at_ms| signs.heed(*at_ms)).collect();
        let after: Vec<_> = heeded.iter().map(|at_ms| at_ms - begin_ms).collect();
        assert_eq!(after[..5], [0, 1_000, 3_000, 7_000, 15_000]);
        assert!(after.len() < 20, "{after:?}");
        let last = heeded.last().copied().unwrap_or_default();
        assert!(begin_ms + 1_800_000 - last <= WAIT_MAX_MS + 500);
    }

    #[test]
    fn who_comes_back_after_a_silence_is_heard_at_once() {
        let mut signs = Signs::default();
        for at_ms in 1_000_000..1_010_000 {
            signs.heed(at_ms);
        }
        assert!(!signs.heed(1_010_000));
        assert!(signs.heed(1_010_000 + SILENCE_MS));
        assert!(!signs.take());
        signs.freshen();
        assert!(signs.is_fresh() && signs.take() && !signs.is_fresh());
    }
}
