//! When and from where devices were last seen: gathered here, told to their users now and then, never a write for each request.

use std::collections::BTreeMap;

use dashmap::DashMap;
use playhouse_actors::user::message::DeviceSighting;
use ruma::{OwnedDeviceId, OwnedUserId};

use super::caller::Session;

/// So many sessions are remembered between two reports; more go unreported.
const SESSIONS_MAX: usize = 50_000;

/// Sessions seen since the last report, by the hash of their token.
pub(crate) struct Seen(DashMap<[u8; 32], Sighting>);

struct Sighting {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    address: String,
    user_agent: String,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self(DashMap::with_shard_amount(8))
    }

    /// Notes a sign of life.
    pub(crate) fn note(&self, session: &Session) {
        let Some(device_id) = &session.device_id else {
            return;
        };
        if self.0.contains_key(&session.token_hash) || self.0.len() >= SESSIONS_MAX {
            return;
        }
        let sighting = Sighting {
            user_id: session.user_id.clone(),
            device_id: device_id.clone(),
            address: session.visitor.address.to_string(),
            user_agent: session.visitor.user_agent.clone(),
        };
        self.0.insert(session.token_hash, sighting);
    }

    /// What was seen since the last time, by user.
    pub(crate) fn take(&self, at_ms: u64) -> BTreeMap<OwnedUserId, Vec<DeviceSighting>> {
        let mut by_user: BTreeMap<_, Vec<_>> = BTreeMap::new();
        self.0.retain(|_, seen| {
            by_user
                .entry(seen.user_id.clone())
                .or_default()
                .push(DeviceSighting {
                    device_id: seen.device_id.clone(),
                    at_ms,
                    address: std::mem::take(&mut seen.address),
                    user_agent: std::mem::take(&mut seen.user_agent),
                });
            false
        });
        by_user
    }
}
