//! Given records, when a command comes, then records; and what must hold over any sequence of them.

mod administer;
mod cross_signing;
mod data;
mod hidden_invites;
mod keys;
mod parcels;
mod properties;
mod push_rules;
mod pushers;
mod sessions;
mod to_device;
pub(in crate::user) mod trial;
