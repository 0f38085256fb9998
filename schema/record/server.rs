//! Records of a remote server: what it was sent, and how far it is behind.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::{Kind, codec::Record, room::ReceiptMoved};
use crate::address::{Position, Sequence, ShardNumber};

/// What happens to a remote server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ServerRecord {
    /// A transaction is on its way from here on. The one before it, if any, was acknowledged.
    #[serde(rename = "d")]
    Departed(Departed),
    /// The transaction on its way was acknowledged.
    #[serde(rename = "a")]
    Acknowledged(Acknowledged),
    /// An attempt to reach it failed.
    #[serde(rename = "f")]
    Failed(Failed),
    /// It is behind: what lies after these positions must be looked for once it can be reached.
    #[serde(rename = "l")]
    Lagged(Lag),
    /// A round of catching up is over: it lags behind these later positions only, or (`None`) not at all any more.
    #[serde(rename = "c")]
    CaughtUp(Option<Lag>),
    /// Something is to be sent beside what is read of the log in order.
    #[serde(rename = "o")]
    Owed(Owed),
}

impl Record for ServerRecord {
    fn kind(&self) -> Kind {
        match self {
            ServerRecord::Departed(_) => 820,
            ServerRecord::Acknowledged(_) => 821,
            ServerRecord::Failed(_) => 822,
            ServerRecord::Lagged(_) => 823,
            ServerRecord::CaughtUp(_) => 824,
            ServerRecord::Owed(_) => 825,
        }
    }
}

/// A transaction: enough to write its body again, byte for byte unless an event was redacted meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Departed {
    /// Its ID.
    pub transaction_id: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Its events.
    pub events: Vec<EventRun>,
    /// Its to-device messages: records of sending users.
    pub to_device: Vec<ToDeviceRef>,
    /// Its other ephemeral parts, each as JSON.
    pub edus: Vec<ByteBuf>,
    /// While it catches up: how far that brings it.
    pub progress: Progress,
    /// Positions in the shards of what it holds: nothing up to there is left for a later transaction. Whoever reads the log again need not send it again.
    #[serde(default)]
    pub done: Lag,
    /// So many of the things that the destination was owed are in it, the first ones.
    #[serde(default)]
    pub owed: u64,
}

/// What a record means for a destination that nobody could read when its turn came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Owed {
    /// The record: the name of its family, its shard and its position.
    pub record: (String, ShardNumber, Position),
    /// Events.
    pub events: Vec<EventRun>,
    /// To-device messages.
    pub to_device: Vec<ToDeviceRef>,
    /// Users whose devices have changed, each with the number of the record that says so.
    pub devices: Vec<(String, Sequence)>,
    /// Users of whose devices the destination may know nothing.
    pub arrivals: Vec<String>,
    /// Receipts, each with its room.
    pub receipts: Vec<(String, ReceiptMoved)>,
}

/// Events of a room that follow each other in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRun {
    /// The room.
    pub room_id: String,
    /// Their numbers among the room's records.
    pub sequences: Vec<Sequence>,
}

/// A sending of to-device messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToDeviceRef {
    /// Who sent.
    pub user_id: String,
    /// The record's number among those of the user.
    pub sequence: Sequence,
}

/// How far catching up has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Rooms, each with the position in its shard up to which it is done.
    pub rooms: Vec<(String, Position)>,
    /// Shards of users, each with the position up to which to-device messages are done.
    pub users: Vec<(ShardNumber, Position)>,
}

/// A transaction was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// An attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The next attempt is not made before this time.
    pub next_ms: u64,
}

/// Positions up to which a destination has everything, or nothing was for it. A shard that is absent stands at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// In shards of rooms.
    pub rooms: Vec<(ShardNumber, Position)>,
    /// In shards of users.
    pub users: Vec<(ShardNumber, Position)>,
}
