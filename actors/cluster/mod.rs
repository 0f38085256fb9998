//! Several nodes as one house: which of them serves which shard, and how they hear of each other.
//!
//! Owns the map of shards and this node's part in it. The register in the database decides ([`playhouse_schema::register`]); what nodes tell each other only
//! spares waiting for it. Knows no kind of actor.

mod arriving;
pub mod balance;
mod bell;
pub mod config;
pub mod courier;
pub mod duty;
mod facts;
mod failing;
pub mod gate;
mod hot;
mod lead;
pub mod map;
mod parting;
mod pulse;
pub mod roles;
pub mod scales;
mod tenants;
#[cfg(test)]
pub(crate) mod tests;
pub mod ward;

pub use balance::{Loads, Unheld};
pub use bell::Bell;
pub use config::ClusterConfig;
pub use courier::{Courier, Patience, Wire};
pub use duty::{Duty, Underway};
pub use facts::{Facts, HotRoom};
pub use gate::{Gate, Hears, Telling};
pub use map::Map;
pub use scales::Scales;
pub use tenants::{Herald, Tenants};
pub use ward::{Ward, WardSettings};
