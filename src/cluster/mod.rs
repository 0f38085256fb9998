//! Several nodes of one server.

pub mod balance;
