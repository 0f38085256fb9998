//! When it is looked what a follower has parked: somebody may want it to be tried again.
//!
//! While nothing is parked nobody asks the database. That something is becomes known when it is parked on this node or wanted again here, at the start, and
//! when another node has read by the same name. Another node may still have parked something in a moment in which both took the reader for theirs, so it is
//! looked now and then in any case.

use std::{sync::Arc, time::Duration};

use playhouse_schema::{
    models::parked::Parked,
    port::{LogStore, StoreError},
};
use tokio::time::Instant;

use super::task::{PROGRAM, parked_by};
use crate::writers::Tail;

/// How often it is looked: in memory whether something may be parked, and then in the database what it is.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// So often the database is asked whatever is known.
const LOOK_ANYWAY: Duration = Duration::from_secs(600);

/// What one reader knows of what it has parked.
pub(super) struct Lookout {
    tail: Arc<Tail>,
    name: &'static str,
    /// Something may be parked.
    may_have: bool,
    /// How often something was noted when the database was asked.
    notes: u64,
    /// When it was last looked …
    looked: Instant,
    /// … and the database asked.
    asked: Instant,
}

impl Lookout {
    /// Nothing is known of what this reader has parked.
    pub(super) fn new(tail: Arc<Tail>, name: &'static str) -> Self {
        let now = Instant::now();
        Self {
            notes: tail.parked_notes(),
            tail,
            name,
            may_have: true,
            looked: now,
            asked: now,
        }
    }

    /// When it is time to look.
    pub(super) fn due(&self) -> Instant {
        self.looked + LOOK_EVERY
    }

    /// It is not looked this time.
    pub(super) fn put_off(&mut self) {
        self.looked = Instant::now();
    }

    /// Something was parked, or may have been: whoever looks next on this node asks.
    pub(super) fn note(&self) {
        self.tail.note_parked();
    }

    /// Whether the database is to be asked.
    pub(super) fn has_reason(&self) -> bool {
        self.may_have
            || self.tail.parked_notes() != self.notes
            || self.asked.elapsed() >= LOOK_ANYWAY
    }

    /// What another program has parked, or what somebody wants to be tried again.
    pub(super) async fn look(&mut self, store: &dyn LogStore) -> Result<Vec<Parked>, StoreError> {
        let mut parked = self.look_at_all(store).await?;
        parked.retain(|parked| parked.program != PROGRAM);
        Ok(parked)
    }

    /// Everything that is parked.
    pub(super) async fn look_at_all(
        &mut self,
        store: &dyn LogStore,
    ) -> Result<Vec<Parked>, StoreError> {
        self.looked = Instant::now();
        if !self.has_reason() {
            return Ok(Vec::new());
        }
        // Until the database has answered. What is noted from now on may come too late for the answer.
        self.may_have = true;
        self.notes = self.tail.parked_notes();
        self.asked = self.looked;
        let parked = parked_by(store, self.name).await?;
        self.may_have = !parked.is_empty();
        Ok(parked)
    }
}
