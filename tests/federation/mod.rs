//! The server-server API.

mod open;
mod refused;
mod town;
