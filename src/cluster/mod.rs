//! Several nodes of one server: the wire between them, what they share in secret, and a balancer for trials.

pub mod balance;
pub(crate) mod secret;
pub(crate) mod wire;
