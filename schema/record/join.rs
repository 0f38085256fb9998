//! Records of users who are on the way into rooms of other servers: what was sent to whom, so that a restart goes on with it.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Kind, codec::Record};

/// What happens to the joins that are under way: at most one for each user and room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRecord {
    /// A user wants in, perhaps again.
    #[serde(rename = "b")]
    Begun(JoinBegun),
    /// The join is about to be sent to a server: from now on the user may be in the room there. It is replaced by an empty one when the join
    /// ends, and loses the event when newer ones were sent.
    #[serde(rename = "s")]
    Sent(JoinSent),
    /// What the server answered is being taken in.
    #[serde(rename = "p")]
    Progressed(JoinProgress),
    /// Nothing is to come of it: whoever let the user in is to be told that the user leaves.
    #[serde(rename = "l")]
    Abandoned(JoinAbandoned),
    /// It has come to its end.
    #[serde(rename = "e")]
    Ended(JoinEnded),
}

/// A user wants into a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinBegun {
    /// The room.
    pub room_id: String,
    /// The user.
    pub user_id: String,
    /// The user is a guest.
    pub guest: bool,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A join that is sent to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinSent {
    /// The room.
    pub room_id: String,
    /// The user.
    pub user_id: String,
    /// To whom.
    pub server: String,
    /// The room's version.
    pub room_version: String,
    /// The event ID.
    pub event_id: String,
    /// The signed member event.
    pub pdu: ByteBuf,
    /// Another server must sign it, too.
    pub needs_voucher: bool,
    /// The members of the room need not be told at once.
    pub omit_members: bool,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// How far an answer is taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinProgress {
    /// The room.
    pub room_id: String,
    /// The user.
    pub user_id: String,
    /// So many events are taken in …
    pub events: u64,
    /// … of so many.
    pub of: u64,
}

/// Nothing is to come of a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinAbandoned {
    /// The room.
    pub room_id: String,
    /// The user.
    pub user_id: String,
    /// The administrator who wants it so; `None`: it has failed, or the user wants it so.
    pub by: Option<String>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The user wants it so, or was sent away from the room: one who comes in all the same is to leave again.
    #[serde(default)]
    pub unwanted: bool,
}

/// The end of a join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinEnded {
    /// The room.
    pub room_id: String,
    /// The user.
    pub user_id: String,
    /// The user is in the room.
    pub joined: bool,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl JoinSent {
    /// What stands in the log in its place when the join has ended, or when many newer ones were sent: the event is in the room's own records, or nowhere.
    pub fn forgotten() -> Self {
        Self {
            room_id: String::new(),
            user_id: String::new(),
            server: String::new(),
            room_version: String::new(),
            event_id: String::new(),
            pdu: ByteBuf::new(),
            needs_voucher: false,
            omit_members: false,
            at_ms: 0,
        }
    }
}

impl Record for JoinRecord {
    fn kind(&self) -> Kind {
        match self {
            JoinRecord::Begun(_) => 860,
            JoinRecord::Sent(_) => 861,
            JoinRecord::Progressed(_) => 862,
            JoinRecord::Abandoned(_) => 863,
            JoinRecord::Ended(_) => 864,
        }
    }
}
