//! The admin API over HTTP, mirroring `src/admin/`: one file for each area.

mod audit;
mod backlog;
mod journey;
mod media;
mod openapi;
mod purge_history;
mod quarantine;
mod registration_tokens;
mod room_care;
mod rooms;
mod server_notices;
mod standing;
mod tokens;
mod users;

pub(crate) use crate::harness::administrator;
