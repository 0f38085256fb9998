//! `[search]`: finding messages by their words.

use super::section::section;

section! {
    /// Searching messages.
    "search" Search {
        /// Messages of rooms that are not encrypted are indexed, and clients may search them. Switched on again, it goes on where it was switched off.
        enabled: bool = true;
    }
}
