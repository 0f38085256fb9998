//! The server-server API.

mod handshakes;
mod open;
mod refused;
mod town;
