//! The server-server API.

mod acme;
mod crowd;
mod dead;
mod drips;
mod faster_joins;
mod guests;
mod handshakes;
mod hostile;
mod introduced;
mod media;
mod neighbours;
mod open;
mod refused;
mod spaces;
mod sticky_events;
mod synapse;
mod town;
mod wishes;
