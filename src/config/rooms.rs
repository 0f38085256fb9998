//! `[rooms]`: how rooms are made.

use super::section::section;

section! {
    /// How rooms are made.
    "rooms" Rooms {
        /// The version of new rooms, 1 to 12.
        default_version: String = "12".to_owned(), variable "PLAYHOUSE_DEFAULT_ROOM_VERSION";
        /// Who may see the public room list without a session.
        public_list_without_session: bool = false;
    }
}
