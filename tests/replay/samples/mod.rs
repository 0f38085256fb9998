//! A record of every kind, with every field filled in.

pub(super) mod active;
pub(super) mod admin;
pub(super) mod alias;
pub(super) mod backup;
pub(super) mod delay;
pub(super) mod external;
pub(super) mod gateway;
pub(super) mod house;
pub(super) mod join;
pub(super) mod media;
pub(super) mod oauth;
pub(super) mod pass;
pub(super) mod peer_keys;
pub(super) mod peer_user;
pub(super) mod purge;
pub(super) mod quarantine;
pub(super) mod room;
pub(super) mod server;
pub(super) mod threepid;
pub(super) mod user;

use super::Sample;

fn sample<R>(label: &'static str, record: R) -> Sample<R> {
    Sample { label, record }
}
