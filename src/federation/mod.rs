//! Other servers: how they are found, reached and believed.
//!
//! Owns names, connections, signatures and keys. Must not know what rooms and users make of the answers.

mod canonical;
mod dns;
mod names;
pub(crate) mod own_keys;
#[cfg(test)]
mod tests;
mod well_known;
pub(crate) mod x_matrix;

/// How this server calls itself.
const USER_AGENT: &str = concat!("Playhouse/", env!("CARGO_PKG_VERSION"));
