//! Stories across the whole server, told by real clients.

mod browser;
mod conversation;
mod demo;
mod household;
mod idle_rooms;
mod room_list;
mod story;
mod sync_model;
