//! The client-server API over HTTP, mirroring `src/client/`: one file for each family of endpoints.
//!
//! Most tests run on both database engines and share the servers (`stage`), so they make users and rooms of their own and never count what others make.

mod account;
mod calls;
mod create_room;
mod discovery;
mod errors;
mod filter;
mod history;
mod media;
mod membership;
mod moderation;
mod personal;
mod props;
mod public_rooms;
mod push_rules;
mod pushers;
mod relations;
mod reports;
mod sliding_rooms;
mod sliding_sync;
mod spaces;
pub(crate) mod stage;
mod sync_personal;
mod sync_rooms;
mod sync_timeline;
mod thread_subscriptions;
mod to_device;
mod user_directory;
