//! A room: who is in it, what was said, what its rules are.
//!
//! Owns the authorisation of events, their order and the room's state. Must not know users' sessions, other servers' addresses, or who reads along:
//! users and servers follow the log.

pub mod context;
pub mod error;
pub mod event;
pub mod message;
pub mod pdu;
pub(crate) mod push_facts;
pub mod state;

pub use error::RoomError;
pub use message::{RoomAnswer, RoomCommand, RoomQuery, RoomReply, RoomSignal};
pub use state::Room;
