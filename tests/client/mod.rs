//! The client-server API over HTTP, mirroring `src/client/`: one file for each family of endpoints.
//!
//! Most tests run on both database engines and share the servers (`stage`), so they make users and rooms of their own and never count what others make.

mod account;
pub(crate) mod browser;
mod calls;
mod create_room;
mod delayed_events;
mod discovery;
mod errors;
mod filter;
mod history;
mod invite_filter;
mod legacy;
mod login_tokens;
mod media;
mod media_storage;
mod membership;
mod moderation;
mod notifications;
pub(crate) mod oauth;
mod oauth_pages;
mod personal;
mod previews;
mod props;
mod public_rooms;
mod push_rules;
mod pushers;
mod relations;
mod rendezvous;
mod reports;
mod search;
mod sliding_rooms;
mod sliding_sync;
mod spaces;
mod sso;
mod stage;
mod standing;
mod sync_personal;
mod sync_rooms;
mod sync_timeline;
mod to_device;
mod user_directory;
