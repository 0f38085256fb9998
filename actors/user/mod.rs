//! A local user: account, devices, sessions, profile, account data, keys, to-device messages, and the feed from which syncs are built.
//!
//! Owns everything about its own local part; two commands cannot race for a name. Must not know HTTP, nor other users' state.

mod account_messages;
mod acknowledge_to_device;
mod add_signatures;
pub mod answer;
mod chain;
mod change_push_rules;
mod claim_keys;
mod confirm_refresh;
pub mod context;
pub mod cross_signing;
pub mod data;
mod deactivate;
mod dehydrate;
pub mod device;
mod domain;
mod erase_history;
pub mod error;
pub mod feed;
mod fold_keys;
mod forget_room;
pub mod identity;
mod inbound;
mod inherit_room;
mod json;
pub mod key_messages;
mod login;
pub mod message;
mod news;
mod note_devices_seen;
mod note_transaction;
pub mod password;
mod push_rule_change;
mod pushers;
mod queue_to_device;
mod refresh;
mod register;
mod remove_devices;
mod rename_device;
pub mod send_to_device;
mod sessions;
mod set_account_data;
mod set_password;
mod set_presence;
mod set_profile_field;
mod set_standing;
mod set_tag;
pub mod sliding;
mod snapshot;
pub mod state;
mod store_filter;
pub mod sync;
#[cfg(test)]
mod tests;
pub mod token;
mod upload_keys;
mod upload_signing_keys;
mod view;

pub use context::{UserContext, UserLimits};
pub(crate) use erase_history::tombstone;
pub use error::UserError;
pub use message::{UserAnswer, UserCommand, UserQuery, UserReply, UserSignal};
pub use push_rule_change::{PushRule, PushRuleChange};
pub use sessions::SessionCache;
pub use state::User;
