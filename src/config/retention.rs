//! `[retention]`: how long events are kept.

use super::section::section;

section! {
    /// How long events are kept. Rooms say it by their state `m.room.retention` (MSC1763). State is always kept, and so is the newest event of a room.
    "retention" Retention {
        /// Events expire: nobody is shown them any more, and their contents are taken out of the log.
        enabled: bool = false;
        /// In rooms that say nothing, events are kept so long, milliseconds. 0: for ever.
        default_max_lifetime_ms: u64 = 0;
        /// No room can have its events go earlier, milliseconds.
        lifetime_min_ms: u64 = 0;
        /// No room can have its events stay longer, milliseconds. 0: no bound.
        lifetime_max_ms: u64 = 0;
        /// Expired events are looked for so often, milliseconds.
        sweep_every_ms: u64 = 3_600_000;
        /// So many records are taken out of the log in a second, when events expire, accounts are erased, and rooms are purged or deleted. At least 1.
        erasures_per_second: u64 = 10_000;
    }
}

impl Retention {
    /// For rooms that say nothing; `None`: for ever.
    pub(crate) fn default_ms(&self) -> Option<u64> {
        Some(self.default_max_lifetime_ms).filter(|bound| *bound > 0)
    }

    /// The lower bound, if there is one.
    pub(crate) fn min_ms(&self) -> Option<u64> {
        Some(self.lifetime_min_ms).filter(|bound| *bound > 0)
    }

    /// The upper bound, if there is one.
    pub(crate) fn max_ms(&self) -> Option<u64> {
        Some(self.lifetime_max_ms).filter(|bound| *bound > 0)
    }
}
