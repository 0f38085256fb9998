//! Stories across the whole server, told by real clients.

mod conversation;
mod household;
mod idle_rooms;
mod story;
