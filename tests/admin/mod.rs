//! The admin API over HTTP, mirroring `src/admin/`: one file for each area.

mod accounts;
mod audit;
mod backlog;
mod backups;
mod beside;
mod command_line;
pub(crate) mod dashboard;
mod federation;
mod journey;
mod ketesa;
mod looking;
mod media;
mod moderator;
mod openapi;
mod power;
mod purge_history;
mod quarantine;
mod redaction;
mod registration_tokens;
mod reports;
mod room_care;
mod rooms;
mod server_notices;
mod standing;
mod tokens;
mod users;

pub(crate) use crate::harness::administrator;
