//! Several nodes of one server: the wire between them, what they share in secret, what operators see and say, and a balancer for trials.

pub mod balance;
pub(crate) mod orders;
pub(crate) mod secret;
pub(crate) mod status;
pub(crate) mod wire;
