//! Asking a room for single events by their numbers, as a search or a list of notifications found them.

use bytes::Bytes;
use playhouse_schema::address::Sequence;
use ruma::{OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::message::{JsonText, MemberProfile, Reader};

/// Some events by their numbers among the room's records. What the reader may not see, or does not want, is left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HitsQuery {
    /// Who reads.
    pub reader: Reader,
    /// Which.
    pub sequences: Vec<Sequence>,
    /// A `RoomEventFilter`, as JSON.
    pub filter: Option<JsonText>,
    /// Redacted ones too.
    pub redacted: bool,
    /// What is wanted around each.
    pub around: Option<Around>,
}

/// What is wanted around an event.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Around {
    /// At most so many events before it, 0 to 100.
    pub before: usize,
    /// At most so many events after it, 0 to 100.
    pub after: usize,
    /// What senders were called then.
    pub profiles: bool,
}

/// An event that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// Its number.
    pub sequence: Sequence,
    /// Its ID.
    pub event_id: OwnedEventId,
    /// It.
    pub event: Bytes,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// What is around it, if that was asked for.
    pub around: Option<Surroundings>,
}

/// What is around an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Surroundings {
    /// Where to page backwards from.
    pub start: Sequence,
    /// Where to page forwards from.
    pub end: Sequence,
    /// What came before, newest first.
    pub before: Vec<Bytes>,
    /// What came after.
    pub after: Vec<Bytes>,
    /// What senders were called.
    pub profiles: Vec<(OwnedUserId, MemberProfile)>,
}
