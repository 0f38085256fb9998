//! Syncs (client-server API, `GET /sync`): what happened after a token, as one JSON text.
//!
//! A sync is made in two steps. The [`plan`] is made inside the actor, from one moment of the feed and of the user's state: which rooms, which
//! intervals, and the token that the answer ends with. Everything the answer may contain is fixed by then. The body is then written either at once
//! ([`build::build_direct`]: what happened is at hand) or by a task that asks the rooms ([`build::build`]); each room answers for its own
//! interval, however far it has gone on meanwhile.
//!
//! Bounds are taken in one step of the actor, so the order "keys first" holds: to-device messages are part of the user's own durable state, and one
//! that was committed before a room event was acknowledged to its sender before that event was even sent. When the event is known here, the message is.

pub(crate) mod body;
pub(crate) mod build;
pub(crate) mod counts;
pub(crate) mod devices;
pub(crate) mod direct;
mod fields;
pub(crate) mod filter;
pub(crate) mod news;
pub(crate) mod plan;
pub(crate) mod request;
pub(crate) mod room_plan;
pub(crate) mod rooms;
pub mod token;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::address::Position;
use ruma::{OwnedRoomId, OwnedUserId};

use self::token::{SyncToken, Vector};
use super::{
    UserError,
    feed::{surroundings::DeviceChange, unread::Tally, wait::Waiter},
    sliding::Slid,
};

/// An answer on its way back to the feed.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) waiter: Waiter,
    pub(crate) outcome: Result<Outcome, UserError>,
    /// A task made it, which the feed counts.
    pub(crate) is_counted: bool,
}

impl Built {
    pub(crate) fn new(waiter: Waiter, outcome: Result<Outcome, UserError>) -> Self {
        Self {
            waiter,
            outcome,
            is_counted: false,
        }
    }
}

/// What making an answer came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The whole JSON text.
    pub(crate) body: Bytes,
    /// The token it ends with.
    pub(crate) next: SyncToken,
    /// For sliding sync: where it ends in full, and what must be kept before it leaves.
    pub(crate) slid: Option<Box<Slid>>,
    /// There is nothing in it but the token and the key counts.
    pub(crate) is_empty: bool,
    /// Members sent by lazy loading.
    pub(crate) members: BTreeMap<OwnedRoomId, BTreeSet<OwnedUserId>>,
    /// Unread counts read on the way.
    pub(crate) tallies: Vec<ReadTally>,
    /// Device list changes read on the way: all after the vector.
    pub(crate) devices: Option<(Vector, Vec<DeviceChange>)>,
}

/// Unread events of a room, read up to a position.
#[derive(Debug)]
pub(crate) struct ReadTally {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) tally: Arc<Tally>,
    pub(crate) until: Position,
    /// Nothing unread lies between the tally and `until`.
    pub(crate) is_complete: bool,
    pub(crate) epoch: u64,
}
