//! Stories across the whole server, told by real clients.

mod conversation;
mod idle_rooms;
mod sync_model;
