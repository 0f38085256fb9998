//! The admin API over HTTP, mirroring `src/admin/`: one file for each family of endpoints.

mod boss;
mod media;
mod quarantine;
