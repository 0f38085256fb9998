//! The server-server API.

mod dead;
mod handshakes;
mod hostile;
mod neighbours;
mod open;
mod refused;
mod spaces;
mod town;
