//! What somebody is told whose events reach nobody: it must look like what everybody is told.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_schema::chain::digest;

use super::House;

/// The local part of a room ID that stands for no room is so long.
const ROOM_NAME_LENGTH: usize = 18;

impl House {
    /// An event ID that looks like any other, and no event has.
    pub fn pretended_event_id(&self) -> String {
        let random = self.env.random_string(32);
        format!("${}", URL_SAFE_NO_PAD.encode(digest(random.as_bytes())))
    }

    /// A room ID that looks like any other, and no room has.
    pub fn pretended_room_id(&self) -> String {
        let name = self.env.random_string(ROOM_NAME_LENGTH);
        format!("!{name}:{}", self.env.server_name())
    }
}
