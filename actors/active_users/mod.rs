//! Who was active in the last 30 days, and whether there is room for one more.
//!
//! One actor for the whole house: so the number is exact, on however many nodes. Whoever is refused is not written down. Must not know what an account is:
//! whoever asks says who counts.

mod state;

use std::collections::BTreeSet;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::active::{ActiveRecord, ActiveUser},
};
use serde::{Deserialize, Serialize};

pub use state::ActiveUsers;

use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident, Unavailable},
};

/// That a user is active is not written down anew within this time.
const WORTH_NOTING_MS: u64 = 24 * 60 * 60 * 1_000;

/// More accounts are not reserved.
pub const RESERVED_MAX: usize = 1_000;

/// What the actor goes by.
#[derive(Clone)]
pub struct ActiveContext {
    /// The clock.
    pub env: Env,
    /// So many may be active; `None`: as many as like.
    pub limit: Option<u64>,
}

/// What can be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ActiveCommand {
    /// A user is active: written down if there is room.
    Note(String),
    /// For these accounts there is always room.
    Reserve(BTreeSet<String>),
}

/// What can be asked: how full it is, and whether somebody has a place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActiveQuery {
    /// Of whom; `None`: of somebody who has no account yet.
    pub user_id: Option<String>,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fullness {
    /// So many have a place.
    pub count: u64,
    /// So many of them because their accounts are reserved.
    pub reserved: u64,
    /// Whoever it was asked of has a place, or there is one free.
    pub has_room: bool,
}

/// Why somebody is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ActiveError {
    /// As many are active as may be.
    #[error("as many users are active as this server permits in a month")]
    Full,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ActiveUsers {
    fn fullness(&self, user_id: Option<&str>, limit: Option<u64>, now_ms: u64) -> Fullness {
        let count = self.count(now_ms);
        let has_place = user_id.is_some_and(|user_id| self.has_place(user_id, now_ms));
        Fullness {
            count,
            reserved: self.reserved() as u64,
            has_room: has_place || limit.is_none_or(|limit| count < limit),
        }
    }

    fn note(
        &self,
        user_id: String,
        limit: Option<u64>,
        now_ms: u64,
    ) -> Result<Decision<Self>, ActiveError> {
        if !self.fullness(Some(&user_id), limit, now_ms).has_room {
            return Err(ActiveError::Full);
        }
        let last_ms = self.last_ms(&user_id);
        let is_fresh =
            last_ms.is_some_and(|last_ms| now_ms < last_ms.saturating_add(WORTH_NOTING_MS));
        let mut records = Vec::new();
        if !is_fresh {
            let at_ms = now_ms;
            records.push(ActiveRecord::Active(ActiveUser { user_id, at_ms }));
        }
        Ok(Decision::new(records, ()))
    }

    fn reserve(&self, accounts: BTreeSet<String>) -> Decision<Self> {
        let accounts: Vec<_> = accounts.into_iter().take(RESERVED_MAX).collect();
        if self.is_reserved_as(&accounts) {
            return Decision::unchanged(());
        }
        Decision::new(vec![ActiveRecord::Reserved(accounts)], ())
    }
}

/// Tells it to whoever reads the metrics.
fn show(told: Fullness) {
    metrics::gauge!("playhouse_admin_mau_current").set(told.count as f64);
    metrics::gauge!("playhouse_admin_mau_registered_reserved_users").set(told.reserved as f64);
}

impl Domain for ActiveUsers {
    const NAME: &'static str = "active_users";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = ActiveRecord;
    type Command = ActiveCommand;
    type Reply = ();
    type Query = ActiveQuery;
    type Answer = Fullness;
    type Signal = ();
    type Error = ActiveError;
    type Live = ();
    type Context = ActiveContext;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &ActiveRecord) {
        self.take_in(record);
    }

    fn decide(
        &self,
        command: ActiveCommand,
        context: &ActiveContext,
    ) -> Result<Decision<Self>, ActiveError> {
        match command {
            ActiveCommand::Note(user_id) => self.note(user_id, context.limit, context.env.now_ms()),
            ActiveCommand::Reserve(accounts) => Ok(self.reserve(accounts)),
        }
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: ActiveQuery,
        port: Port<Fullness, ActiveError>,
    ) {
        let context = &resident.context;
        let user_id = query.user_id.as_deref();
        let told = resident
            .state
            .fullness(user_id, context.limit, context.env.now_ms());
        show(told);
        let _ = port.send(Ok(told));
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        let context = &resident.context;
        let now_ms = context.env.now_ms();
        show(resident.state.fullness(None, context.limit, now_ms));
    }

    fn weight_bytes(&self) -> usize {
        self.weight()
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 1_000
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(&snapshot.payload)
    }
}

#[cfg(test)]
mod tests;
