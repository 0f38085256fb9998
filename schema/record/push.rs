//! What became of pushes, among the records of the user to whom they go.

use serde::{Deserialize, Serialize};

use crate::address::{Position, Sequence, ShardNumber};

/// A push gateway took pushes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The pusher, by the user's record that made it.
    pub pusher: Sequence,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Rooms, each with the event up to which all was pushed, by its number among the room's records.
    pub rooms: Vec<(String, Sequence)>,
    /// The count of unread things that the gateway was told.
    pub unread: u64,
    /// The count of missed calls that it was told.
    #[serde(default)]
    pub missed_calls: u64,
}

/// An attempt to push failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFailed {
    /// The pusher.
    pub pusher: Sequence,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// No attempt is made before this time.
    pub next_ms: u64,
    /// Why, for the operator.
    pub reason: String,
    /// What lies after these positions of the rooms' shards waits from now on; `None` when something waited before.
    pub lag: Option<Vec<(ShardNumber, Position)>>,
}

/// Something waits for a pusher: mails gather what there is to tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushesWait {
    /// The pusher.
    pub pusher: Sequence,
    /// What lies after these positions of the rooms' shards waits.
    pub lag: Vec<(ShardNumber, Position)>,
}

/// Nothing waits for a pusher any more: it was pushed or mailed, was read meanwhile, or is too old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushesSettled {
    /// The pusher.
    pub pusher: Sequence,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The rooms of which a mail told.
    pub mailed: Vec<RoomMailed>,
}

/// A mail told of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomMailed {
    /// Which.
    pub room_id: String,
    /// The newest of what it told, by when it was recorded, milliseconds since the Unix epoch.
    pub newest_ms: u64,
    /// The next mail comes no sooner than so many milliseconds after this one, as far as this room goes.
    pub throttle_ms: u64,
    /// The number of the newest event that it told.
    #[serde(default)]
    pub newest: Sequence,
}

/// A pusher was removed because its gateway knows its key no more, or because it cannot be pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherRejected {
    /// The application.
    pub app_id: String,
    /// The key under which the application was reached.
    pub pushkey: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Why.
    pub reason: String,
}
