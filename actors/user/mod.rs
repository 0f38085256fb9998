//! A local user: account, devices, sessions, profile, account data, keys, to-device messages, and the feed from which syncs are built.
//!
//! Owns everything about its own local part; two commands cannot race for a name. Must not know HTTP, nor other users' state.

pub mod error;
pub mod feed;
pub mod message;
pub mod sync;

pub use error::UserError;
pub use message::{UserAnswer, UserCommand, UserQuery, UserReply, UserSignal};
