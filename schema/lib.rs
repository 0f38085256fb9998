//! Durable formats and the databases that hold them.
//!
//! Owns: what may be written to the log ([`record`]), where it goes ([`address`]), how damage is found ([`chain`]), the ports through which the
//! rest of the house reads and appends ([`port`]) and their two drivers. Must not know: actors, HTTP, or any rule of Matrix beyond identifiers.

pub mod address;
pub mod backup;
pub mod chain;
pub mod drivers;
pub mod ground;
pub mod migrate;
pub mod models;
pub mod port;
pub mod record;
pub mod register;
pub mod verify;
