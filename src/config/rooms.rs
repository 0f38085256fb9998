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
        /// Invites that are accepted for their users: `off`, `direct` (to chats of two, which are noted as such) or `all`.
        accept_invites: String = "off".to_owned();
        /// Whose invites are accepted: `all`, or `local` (of users of this server).
        accept_invites_of: String = "all".to_owned();
        /// Rooms of other servers with more state events than this are not joined; 0 for no limit. Servers tell each other 500 as a complexity of 1.
        remote_state_events_max: u64 = 0;
        /// What those are told who would join such a room.
        remote_too_large: String = "This room is too large to be joined from this server.".to_owned();
        /// Administrators of this server join rooms of any size.
        remote_any_size_for_admins: bool = false;
        /// IDs of rooms of which syncs tell nothing: for rooms of such traffic that clients cannot bear them. Who is in one stays in it.
        exclude_from_sync: Vec<String> = Vec::new();
        /// Rooms are forgotten as soon as they are left, whoever ended the membership (MSC4267). What was left before this was switched on is not.
        forget_on_leave: bool = false;
        /// Rooms that all users of this server have left and forgotten are deleted after so long, with all that is kept of them, milliseconds. 0: never.
        forgotten_room_retention_period_ms: u64 = 0;
    }
}
