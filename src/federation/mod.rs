//! Other servers: how they are found, reached and believed.
//!
//! Owns names, connections, signatures and keys. Must not know what rooms and users make of the answers.

mod canonical;
mod connect;
mod dns;
pub(crate) mod key_ring;
mod names;
mod network;
pub(crate) mod own_keys;
mod server_rules;
#[cfg(test)]
mod tests;
mod well_known;
mod wire;
pub(crate) mod x_matrix;

pub(crate) use self::{names::read_override, network::Federation, server_rules::ServerRules};

/// How this server calls itself.
pub(crate) const USER_AGENT: &str = concat!("Playhouse/", env!("CARGO_PKG_VERSION"));
