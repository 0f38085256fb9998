//! What a feed needs of the rest of the house: the board on which committed records are announced, and ways to read.
//!
//! # Waking
//!
//! A user that wakes must hear of everything that happens after what it reads, and nothing may fall between the two:
//!
//! 1. [`Board::enter`]: from now on every member event of the user is announced to it. The answer tells the positions `P` up to which the board
//!    has announced each shard.
//! 2. [`Sources::memberships`] reads the user's rooms as of `P` or later.
//! 3. [`Board::follow`]: from now on everything in these rooms is announced. (Rooms joined after step 1 the board follows by itself, in the
//!    step in which it announces the join.)
//! 4. [`Sources::newest`] reads the newest position of each room. As it is read after step 3, what is newer will be announced.
//! 5. The task waits until the board has announced everything up to the highest position read in each shard. The announcements are then in the
//!    mailbox, before the message that brings the result.
//!
//! News at or below the position read for their room are dropped, so nothing is doubled. Only member events of the user itself are measured against
//! the member event read in step 2, since the position of step 4 was read later. After step 5 it is true of every shard that all that
//! concerns the user up to the highest position seen there was heard: this is what a token says, and it stays true because each shard is
//! announced in order by one task.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Family, Layout, Position, ShardNumber},
    port::StoreError,
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::rooms::Membership;
use crate::{
    room::{RoomAnswer, RoomError, RoomQuery},
    user::{
        message::{Presence, UserSignal},
        sync::token::Vector,
    },
};

/// Where an awake user hears.
pub trait Ear: Send + Sync + 'static {
    /// Takes a signal; `false` when the user sleeps.
    fn hear(&self, signal: UserSignal) -> bool;
}

/// A user's place on the board, for one life of its actor. Left when dropped.
pub struct Seat {
    /// Which.
    pub number: u64,
    /// Whose.
    pub user_id: OwnedUserId,
    /// Of which board.
    pub board: Arc<dyn Board>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.board.leave(&self.user_id, self.number);
    }
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seat({}, {})", self.user_id, self.number)
    }
}

/// What is volatile in followed rooms at the moment of following.
#[derive(Debug, Default)]
pub struct Current {
    /// Rooms in which somebody types.
    pub typing: Vec<(OwnedRoomId, Arc<Vec<OwnedUserId>>)>,
    /// Users of these rooms that are not offline.
    pub presence: Vec<(OwnedUserId, Arc<Presence>)>,
}

/// Where what happens is announced to the users it concerns.
pub trait Board: Send + Sync + 'static {
    /// A user is awake. Replaces an earlier life of the same user.
    fn enter(self: Arc<Self>, user_id: &UserId, ear: Arc<dyn Ear>) -> (Seat, Vector);

    /// The user's ear hears everything in these rooms.
    fn follow(&self, seat: &Seat, rooms: &[OwnedRoomId]) -> Current;

    /// A life ends. Nothing happens when another has begun.
    fn leave(&self, user_id: &UserId, seat: u64);

    /// Up to where room records were announced.
    fn room_positions(&self) -> Vector;

    /// Up to where device list changes were announced.
    fn device_positions(&self) -> Vector;

    /// Tells the followers of these rooms about a user's presence.
    fn announce_presence(&self, user_id: &UserId, presence: Arc<Presence>, rooms: &[OwnedRoomId]);
}

/// A device list change: whose, and where it stands in the users family.
pub type DeviceChange = (OwnedUserId, ShardNumber, Position);

/// What a feed reads.
pub trait Sources: Send + Sync + 'static {
    /// The layout of the log.
    fn layout(&self) -> Layout;

    /// The newest position of each shard of a family, as the database has it; the highest number there is for one whose database is away: nobody knows of
    /// anything that is not in it.
    fn heads(&self, family: Family) -> BoxFuture<'static, Result<Vector, StoreError>>;

    /// Asks a room.
    fn ask_room(
        &self,
        room_id: &RoomId,
        query: RoomQuery,
    ) -> BoxFuture<'static, Result<RoomAnswer, RoomError>>;

    /// All rooms in which a user has a membership, as of these positions or later; `newest` is the membership's own position. Waits, bounded.
    fn memberships(
        &self,
        user_id: &UserId,
        at_least: Vector,
    ) -> BoxFuture<'static, Result<Vec<Membership>, StoreError>>;

    /// The newest position of each room, in the order asked; 0 for one without records.
    fn newest(
        &self,
        rooms: Vec<OwnedRoomId>,
    ) -> BoxFuture<'static, Result<Vec<Position>, StoreError>>;

    /// The newest device list change of each user who shares a joined room with this one (itself included), if it is after the first and not
    /// after the second positions of its shard. Waits, bounded, until the second are known.
    fn device_changes(
        &self,
        user_id: &UserId,
        after: Vector,
        until: Vector,
    ) -> BoxFuture<'static, Result<Vec<DeviceChange>, StoreError>>;

    /// The rooms that a user is joined to, as of these positions or later. Waits, bounded.
    fn joined_rooms(
        &self,
        user_id: &UserId,
        at_least: Vector,
    ) -> BoxFuture<'static, Result<Vec<OwnedRoomId>, StoreError>>;
}
