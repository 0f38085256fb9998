//! Sliding sync (MSC4186): a view of the feed for clients that want some rooms of many, and little of each.
//!
//! The same two steps as [`crate::user::sync`], with the same parts: a plan of one moment, and a body for which the rooms are asked. What is
//! different is which rooms are told ([`list`]), from where on each ([`connection`]: a room outside of every list falls behind, and is caught
//! up with when it comes back), how they are written ([`write`]) and that all else is an extension ([`extensions`]).
//!
//! A token says up to where the feed was told, and which version of what was told of the rooms it goes with. A version is durable before the token
//! that names it leaves the house. So a token holds across restarts, and a repeat of a request is answered from the same beginning.

pub mod connection;
pub(crate) mod extensions;
pub(crate) mod glimpse;
pub(in crate::user) mod keep_connection;
pub(crate) mod list;
pub(crate) mod news;
pub(crate) mod plan;
pub mod request;
pub mod subscribe_thread;
pub mod threads;
mod token;
pub(crate) mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::Sequence,
    record::user::{SlidingSyncKept, UserRecord},
};
use ruma::OwnedRoomId;

pub(crate) use self::token::Pos;
use self::{connection::SentRooms, request::SlidingQuery};
use crate::{
    room::message::{RoomGlance, Window},
    user::{message::ToDeviceIndex, state::User},
};

/// A sliding sync as understood.
#[derive(Clone, Debug)]
pub(crate) struct Sliding {
    /// As it was asked.
    pub(crate) query: Arc<SlidingQuery>,
    /// The version that the client has, and what it says of rooms; `None` begins anew.
    pub(crate) base: Option<(u64, SentRooms)>,
    /// Account data were told up to here.
    pub(crate) data: Sequence,
    /// Thread subscriptions were told up to here.
    pub(crate) threads: Sequence,
    /// To-device messages were received up to here.
    pub(crate) to_device: ToDeviceIndex,
    /// There is nothing to tell up to here.
    pub(crate) looked: Option<Box<Pos>>,
    /// The children of spaces by which is filtered.
    pub(crate) children: BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
}

impl Sliding {
    /// The name of the connection.
    pub(crate) fn connection(&self) -> &str {
        self.query.request.connection()
    }
}

/// How a room is told.
#[derive(Debug)]
pub(crate) struct WindowPlan {
    /// What the room is asked for.
    pub(crate) wanted: Window,
    /// It is new to the client.
    pub(crate) is_initial: bool,
    /// Named by `m.direct`.
    pub(crate) is_dm: bool,
    /// When something last happened for which the room rises to the top.
    pub(crate) bump_ms: u64,
    /// How it looks to one who is not in it.
    pub(crate) glance: Option<Arc<RoomGlance>>,
}

/// Where an answer ends.
#[derive(Debug)]
pub(crate) struct Slid {
    /// The `pos` of the answer.
    pub(crate) pos: Pos,
    /// What must be durable before the answer leaves.
    pub(crate) kept: Option<SlidingSyncKept>,
}

impl User {
    /// Takes in what sliding sync keeps, and thread subscriptions.
    pub(super) fn fold_sliding(&mut self, sequence: Sequence, record: &UserRecord) {
        match record {
            UserRecord::SlidingSyncKept(kept) => self.connections.fold(sequence, kept),
            UserRecord::DeviceRemoved(device_id) => {
                self.connections.drop_device(device_id.as_str().into());
            }
            UserRecord::ThreadSubscriptionSet(set) => self.threads.fold(sequence, set),
            _ => {}
        }
    }
}
