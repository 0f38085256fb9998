//! Which registration tokens there are, and how that changes.

use bytes::Bytes;
use imbl::OrdMap;
use playhouse_schema::record::house::{HouseRecord, RegistrationToken};
use serde::{Deserialize, Serialize};

/// All registration tokens: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// By token.
    pub(super) tokens: OrdMap<String, Counted>,
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
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let tokens: Vec<&Counted> = self.tokens.values().collect();
        rmp_serde::to_vec(&tokens)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let tokens: Vec<Counted> = rmp_serde::from_slice(bytes).ok()?;
        let tokens = tokens
            .into_iter()
            .map(|counted| (counted.token.token.clone(), counted))
            .collect();
        Some(Self { tokens })
    }
}
