//! `[server_notices]`: what the server itself tells its users.

use super::section::section;

section! {
    /// The server tells its users something: administrators by the admin API, and the server itself while it is closed (`[blocking]`). Each user has a room
    /// for it, in which only the server speaks.
    "server_notices" ServerNotices {
        /// As whom: a user name that nobody else has or gets. Without it there are no notices.
        localpart: Option<String> = None, sample "notices";
        /// The name of that user.
        displayname: String = "Server Notices".to_owned();
        /// The picture of that user, an mxc:// address.
        avatar_url: Option<String> = None, sample "mxc://example.org/picture";
        /// The name of the rooms.
        room_name: String = "Server Notices".to_owned();
        /// The topic of the rooms.
        room_topic: Option<String> = None;
        /// Users are in the rooms at once instead of being invited.
        auto_join: bool = false;
    }
}
