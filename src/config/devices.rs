//! `[devices]`: how long devices are kept.

use super::section::section;

section! {
    /// How long the devices of users are kept.
    "devices" Devices {
        /// Devices that were not used for so long are removed with their sessions and keys, milliseconds. 0: they stay. Less than an hour is refused: that
        /// a device was used is written down every quarter of an hour.
        delete_stale_after_ms: u64 = 0;
        /// They are looked for so often, milliseconds.
        sweep_every_ms: u64 = 3_600_000;
    }
}

impl Devices {
    /// `None`: they stay.
    pub(crate) fn stale_after_ms(&self) -> Option<u64> {
        Some(self.delete_stale_after_ms).filter(|after_ms| *after_ms > 0)
    }
}
