//! Readers of the log: what follows from a record is done by one of these, at its own pace, from its own position.
//!
//! Owns nothing but positions. Must not know who wants an effect: a record is all a follower sees.

pub mod acceptances;
mod bookmark;
pub mod departures;
pub mod erasures;
mod errand;
pub mod feeds;
pub mod fold_on;
pub mod forgettings;
pub mod leavings;
mod lookout;
pub mod member_events;
pub mod members;
pub mod models;
pub mod outboxes;
pub mod overtaken;
pub mod profiles;
pub mod rebuild;
pub mod recoveries;
pub mod task;
#[cfg(test)]
mod tests;
pub mod upkeep;
