//! The domain: rooms, users and remote servers as actors over the log.
//!
//! Inside this package a module imports only from the left: env, kernel, writers, room, user, house, followers. No HTTP, no SQL, no `ruma::api`.

pub mod env;
pub mod kernel;
pub mod writers;
