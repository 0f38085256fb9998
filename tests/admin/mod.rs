//! The admin API over HTTP, mirroring `src/admin/`: one file for each family of endpoints.

pub(crate) mod boss;
mod media;
mod purge_history;
mod quarantine;
