//! `[rooms]`: how rooms are made.

use super::section::section;

section! {
    /// How rooms are made.
    "rooms" Rooms {
        /// The version of new rooms, 1 to 12.
        default_version: String = "12".to_owned(), variable "PLAYHOUSE_DEFAULT_ROOM_VERSION";
        /// Who may see the public room list without a session.
        public_list_without_session: bool = false;
        /// New rooms are encrypted unless their makers say otherwise: `off`, `invite` (those that one is invited to) or `all`.
        encrypted_by_default: String = "off".to_owned();
        /// Who may make rooms: `all` or `admins` (of this server).
        make: String = "all".to_owned();
        /// Who may invite into rooms: `all` or `admins` (of this server).
        invite: String = "all".to_owned();
        /// Invites by users of this server that are accepted for their users: `off`, `direct` (to chats of two) or `all`.
        accept_invites: String = "off".to_owned();
    }
}
