//! The server-server API.

mod crowd;
mod dead;
mod drips;
mod faster_joins;
mod handshakes;
mod hostile;
mod media;
mod neighbours;
mod open;
mod refused;
mod spaces;
mod sticky_events;
mod synapse;
mod town;
mod wishes;
