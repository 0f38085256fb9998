//! A room: who is in it, what was said, what its rules are.
//!
//! Owns the authorisation of events, their order and the room's state. Must not know users' sessions, other servers' addresses, or who reads along:
//! users and servers follow the log.

pub mod acl;
pub mod answer;
mod auth;
mod build;
pub(crate) mod canonical;
mod carried;
pub mod context;
pub mod create;
mod directory;
mod domain;
mod early;
mod empty;
mod ends;
pub mod error;
pub mod event;
pub(crate) mod gaps;
pub mod held;
pub mod hits;
pub mod inspect;
mod membership;
pub mod message;
pub(crate) mod numbers;
pub mod paging;
pub mod parked;
pub(crate) mod past;
pub mod pdu;
pub mod peer;
pub mod policy;
pub(crate) mod purge;
pub(crate) mod push_facts;
pub(crate) mod query;
mod receipt;
pub mod receipts;
pub mod receive;
pub mod redact;
pub mod resolve;
pub mod retention;
mod send_event;
mod snapshot;
pub mod state;
mod sticky;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod told;
mod transactions;
mod versions;
pub mod window;
pub mod wire;

pub use error::RoomError;
pub use message::{RoomAnswer, RoomCommand, RoomQuery, RoomReply, RoomSignal};
pub use query::outgoing::{Outgoing, OutgoingQuery};
pub use state::Room;
pub use versions::VERSIONS;
