//! Records of what sliding sync must remember beyond its tokens, and of thread subscriptions.

use serde::{Deserialize, Serialize};

/// A step of a connection of sliding sync: what was told of which rooms changed in a way that no token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingSyncKept {
    /// The device that syncs.
    pub device_id: String,
    /// The connection of this device.
    pub connection: String,
    /// From which version on; `None` begins the connection anew.
    pub parent: Option<u64>,
    /// To which version.
    pub version: u64,
    /// State that is wanted, which `rooms` refers to by its place here.
    pub wishes: Vec<SlidingWish>,
    /// Rooms that differ from the parent.
    pub rooms: Vec<SlidingRoomKept>,
    /// Rooms of the parent that are no more.
    pub gone: Vec<String>,
}

/// What a connection was told of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingRoomKept {
    /// The room.
    pub room_id: String,
    /// Timeline and state: a position of the room's shard.
    pub events: SlidingTold,
    /// Receipts: a position of the room's shard.
    pub receipts: SlidingTold,
    /// Account data: a sequence of the user's own log.
    pub data: SlidingTold,
    /// The longest timeline that was asked for.
    pub timeline_limit: u32,
    /// The state that the client has, by its place among the wishes.
    pub wish: u32,
}

/// Up to where something was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlidingTold {
    /// Nothing of it.
    #[default]
    #[serde(rename = "n")]
    Never,
    /// All of it, up to where the token says.
    #[serde(rename = "l")]
    Live,
    /// All of it up to here.
    #[serde(rename = "u")]
    Until(u64),
}

/// State that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlidingWish {
    /// Event type and state key; `*` stands for any.
    pub entries: Vec<(String, String)>,
    /// Members only as needed.
    pub lazy: bool,
}

/// A thread was subscribed to or unsubscribed from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSubscriptionSet {
    /// The room.
    pub room_id: String,
    /// The root of the thread.
    pub root: String,
    /// `None` when it was unsubscribed from.
    pub subscription: Option<bool>,
    /// The newest record of the room then: what happened in the thread up to it subscribes nobody again who unsubscribed.
    pub until: u64,
}
