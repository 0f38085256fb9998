//! Which registration tokens there are and which nonces were used, and how that changes.

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use playhouse_schema::record::house::{HouseRecord, RegistrationToken, UsedNonce};
use serde::{Deserialize, Serialize};

use super::nonce::LIFETIME_MS;

/// So many used nonces are known at most.
pub(super) const NONCES_MAX: usize = 10_000;

/// All registration tokens, and the nonces that were used of late: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// By token.
    pub(super) tokens: OrdMap<String, Counted>,
    /// Nonces that were used, each by when it ends.
    pub(super) nonces: OrdSet<(u64, String)>,
}

/// A token and how often it was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) token: RegistrationToken,
    pub(super) completed: u64,
}

impl Counted {
    /// Whether one more use is allowed while so many are under way.
    pub(super) fn is_usable(&self, pending: u64, now_ms: u64) -> bool {
        let fresh = self.token.expires_ms.is_none_or(|until| now_ms < until);
        let left = self
            .token
            .uses_max
            .is_none_or(|max| self.completed.saturating_add(pending) < max);
        fresh && left
    }
}

impl Registration {
    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &HouseRecord) {
        match record {
            HouseRecord::RegistrationTokenSet(token) => {
                let completed = self
                    .tokens
                    .get(&token.token)
                    .map_or(0, |counted| counted.completed);
                let counted = Counted {
                    token: token.clone(),
                    completed,
                };
                self.tokens.insert(token.token.clone(), counted);
            }
            HouseRecord::RegistrationTokenDeleted(token) => {
                self.tokens.remove(token);
            }
            HouseRecord::RegistrationTokenUsed(token) => {
                if let Some(counted) = self.tokens.get_mut(token) {
                    counted.completed += 1;
                }
            }
            // A topic of its own.
            HouseRecord::Reported(_) | HouseRecord::ReportDeleted(_) => {}
            HouseRecord::RegistrationTokenReturned(token) => {
                if let Some(counted) = self.tokens.get_mut(token) {
                    counted.completed = counted.completed.saturating_sub(1);
                }
            }
            HouseRecord::RegistrationNonceUsed(nonce) => self.nonce_used(nonce),
        }
    }

    /// Whether a nonce was used.
    pub(super) fn is_used(&self, nonce: &UsedNonce) -> bool {
        self.nonces
            .contains(&(nonce.until_ms, nonce.random.clone()))
    }

    /// Whether one more used nonce can be remembered.
    pub(super) fn has_room_for(&self, nonce: &UsedNonce) -> bool {
        let forgotten = self
            .nonces
            .iter()
            .take_while(|(until_ms, _)| is_over(*until_ms, nonce))
            .count();
        self.nonces.len() - forgotten < NONCES_MAX
    }

    fn nonce_used(&mut self, nonce: &UsedNonce) {
        while let Some(oldest) = self.nonces.get_min().cloned()
            && is_over(oldest.0, nonce)
        {
            self.nonces.remove(&oldest);
        }
        self.nonces.insert((nonce.until_ms, nonce.random.clone()));
    }

    pub(super) fn encode(&self) -> Bytes {
        let tokens: Vec<&Counted> = self.tokens.values().collect();
        let nonces: Vec<&(u64, String)> = self.nonces.iter().collect();
        rmp_serde::to_vec(&(tokens, nonces))
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tokens, nonces): (Vec<Counted>, Vec<(u64, String)>) =
            rmp_serde::from_slice(bytes).ok()?;
        let tokens = tokens
            .into_iter()
            .map(|counted| (counted.token.token.clone(), counted))
            .collect();
        let nonces = nonces.into_iter().collect();
        Some(Self { tokens, nonces })
    }
}

/// Whether a used nonce can be forgotten when another is used: when that was given, this one had ended for longer than the clocks of nodes differ.
fn is_over(until_ms: u64, other: &UsedNonce) -> bool {
    until_ms.saturating_add(2 * LIFETIME_MS) <= other.until_ms
}
