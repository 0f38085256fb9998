//! Who was active when.

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use playhouse_schema::record::active::ActiveRecord;
use serde::{Deserialize, Serialize};

/// A user counts as active for so long after each sign of life: 30 days.
pub(super) const MONTH_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// What one user takes in memory, about.
const BYTES_PER_USER: usize = 160;

/// Everybody who was active in the last month: a fold of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActiveUsers {
    /// When each was active last.
    last_ms: OrdMap<String, u64>,
    /// The same by time, oldest first.
    by_time: OrdSet<(u64, String)>,
    /// Accounts for which there is always room.
    reserved: OrdSet<String>,
}

/// How a snapshot is written.
#[derive(Serialize, Deserialize)]
struct Kept {
    active: Vec<(String, u64)>,
    reserved: Vec<String>,
}

impl ActiveUsers {
    /// Takes in one record.
    pub(super) fn take_in(&mut self, record: &ActiveRecord) {
        match record {
            ActiveRecord::Active(active) => {
                self.set(active.user_id.clone(), active.at_ms);
                self.forget_before(active.at_ms.saturating_sub(MONTH_MS));
            }
            ActiveRecord::Reserved(accounts) => {
                self.reserved = accounts.iter().cloned().collect();
            }
        }
    }

    fn set(&mut self, user_id: String, at_ms: u64) {
        if let Some(before_ms) = self.last_ms.insert(user_id.clone(), at_ms) {
            self.by_time.remove(&(before_ms, user_id.clone()));
        }
        self.by_time.insert((at_ms, user_id));
    }

    fn forget_before(&mut self, ms: u64) {
        while let Some((at_ms, user_id)) = self.by_time.get_min().cloned()
            && at_ms <= ms
        {
            self.last_ms.remove(&user_id);
            self.by_time.remove(&(at_ms, user_id));
        }
    }

    /// When a user was active last, as far as that matters.
    pub(super) fn last_ms(&self, user_id: &str) -> Option<u64> {
        self.last_ms.get(user_id).copied()
    }

    /// Whether a user was active in the last month, or has a place that is kept.
    pub(super) fn has_place(&self, user_id: &str, now_ms: u64) -> bool {
        let is_active = self.last_ms(user_id).is_some_and(|ms| counts(ms, now_ms));
        is_active || self.reserved.contains(user_id)
    }

    /// So many places are taken.
    pub(super) fn count(&self, now_ms: u64) -> u64 {
        // What is too old goes with the next record: it is the shorter part, most often nothing.
        let by_age = self.by_time.iter();
        let too_old = by_age.take_while(|(ms, _)| !counts(*ms, now_ms)).count();
        let idle = |user_id: &&String| {
            let last_ms = self.last_ms(user_id);
            last_ms.is_none_or(|ms| !counts(ms, now_ms))
        };
        let kept = self.reserved.iter().filter(idle).count();
        (self.by_time.len() - too_old + kept) as u64
    }

    /// So many accounts are reserved.
    pub(super) fn reserved(&self) -> usize {
        self.reserved.len()
    }

    /// Whether it is just these accounts that are reserved, in order.
    pub(super) fn is_reserved_as(&self, accounts: &[String]) -> bool {
        self.reserved.iter().eq(accounts)
    }

    /// What it takes in memory.
    pub(super) fn weight(&self) -> usize {
        (self.last_ms.len() + self.reserved.len() + 1) * BYTES_PER_USER
    }

    /// As a snapshot.
    pub(super) fn encode(&self) -> Bytes {
        let active = self.last_ms.iter();
        let kept = Kept {
            active: active
                .map(|(user_id, at_ms)| (user_id.clone(), *at_ms))
                .collect(),
            reserved: self.reserved.iter().cloned().collect(),
        };
        rmp_serde::to_vec(&kept)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    /// From a snapshot.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let kept: Kept = rmp_serde::from_slice(bytes).ok()?;
        let mut state = Self {
            reserved: kept.reserved.into_iter().collect(),
            ..Self::default()
        };
        for (user_id, at_ms) in kept.active {
            state.set(user_id, at_ms);
        }
        Some(state)
    }
}

fn counts(at_ms: u64, now_ms: u64) -> bool {
    now_ms < at_ms.saturating_add(MONTH_MS)
}
