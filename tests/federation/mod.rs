//! The server-server API.

mod handshakes;
mod neighbours;
mod open;
mod refused;
mod synapse;
mod town;
