//! The client-server API over HTTP, mirroring `src/client/`: one file for each family of endpoints.
//!
//! Most tests run on both database engines and share the servers (`stage`), so they make users and rooms of their own and never count what others make.

mod account;
pub(crate) mod browser;
mod calls;
mod create_room;
mod discovery;
mod errors;
mod filter;
mod history;
mod login_tokens;
mod media;
mod membership;
mod moderation;
pub(crate) mod oauth;
mod oauth_pages;
mod personal;
mod props;
mod public_rooms;
mod push_rules;
mod pushers;
mod relations;
mod rendezvous;
mod reports;
mod spaces;
mod sso;
mod stage;
mod sync_personal;
mod sync_rooms;
mod sync_timeline;
mod to_device;
mod user_directory;
