//! The admin API over HTTP, mirroring `src/admin/`: one file for each area.

mod accounts;
mod federation;
mod looking;
mod media;
mod power;
mod purge_history;
mod quarantine;
mod redaction;
mod registration_tokens;
mod reports;
mod rooms;
mod server_notices;
mod standing;
mod users;

pub(crate) use crate::harness::administrator;
