//! What may be written to the log.
//!
//! One enum per owner; its variants are past tense. A variant or field is never renamed, reordered or reused: new meaning is a new variant, a new
//! field stands last and has `#[serde(default)]`. Old bytes stay readable for ever (`tests/replay/`).

pub mod account;
pub mod active;
pub mod admin;
pub mod alias;
pub mod backup;
pub mod codec;
pub mod delay;
pub mod external;
pub mod gateway;
pub mod house;
pub mod invites;
pub mod join;
pub mod media;
pub mod oauth;
pub mod pass;
pub mod peer_keys;
pub mod peer_user;
pub mod policy;
pub mod purge;
pub mod push;
pub mod quarantine;
pub mod restore;
pub mod room;
pub mod server;
pub mod sliding;
pub mod standing;
pub mod threepid;
pub mod user;
pub mod validity;

/// The kind of a record, as stored in a column beside the payload: who wrote it (hundreds) and which variant (units). Zero is the store's own.
pub type Kind = u16;

/// A record that the store itself writes: a payload was replaced. Its own payload is [`codec::ErasureNote`].
pub const ERASURE: Kind = 0;
