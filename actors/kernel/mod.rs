//! What all actors share: how they are found, woken, asked, made durable and put to sleep.
//!
//! The part that waits is written once, here ([`keeper`]); the domains only decide and apply. Knows neither rooms nor users nor any database.

pub mod append;
pub mod directory;
pub mod domain;
mod keeper;
#[cfg(test)]
pub(crate) mod memory;
pub mod parcel;
mod reach;
mod renew;
pub mod spans;
#[cfg(test)]
pub(crate) mod tests;
mod turns;
mod vitals;
mod wake;
pub mod ways;

pub use append::{Append, AppendError, Landing, Lineage, Log};
pub use directory::{Directory, DirectoryLimits};
pub use domain::{Committed, Decision, Domain, Myself, Port, Resident, Unavailable};
pub use turns::give_way;
pub use ways::{Call, Errand, Link, LinkError, Place, Routes, Served, Ways};
