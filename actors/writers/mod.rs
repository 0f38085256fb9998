//! The stream writers: one pool per family, one actix actor with a thread of its own per writer, group commit.
//!
//! Owns the way from a decided append to the log, and the in-memory tail of what was committed. Knows neither rooms nor users nor any database.

mod batch;
mod desk;
pub mod pool;
pub mod tail;
#[cfg(test)]
mod tests;
mod whereabouts;
mod writer;

pub use pool::{PoolLimits, Pools};
pub use tail::{Relay, Tail, TailReader};
pub use whereabouts::Whereabouts;
