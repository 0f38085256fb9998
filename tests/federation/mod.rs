//! The server-server API.

mod crowd;
mod handshakes;
mod neighbours;
mod open;
mod refused;
mod town;
