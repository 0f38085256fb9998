//! Where a reader of the log stands, in memory and in the database.
//!
//! A position moves in the database only from where this reader has left it: two readers of one name, on two nodes that both take it for theirs, do their work
//! twice for a moment and never skip or fold anything twice.

use std::{sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Family, Position, Shard, ShardNumber},
    port::{CursorAdvance, LogStore, Statement, StoreError},
};

use super::task::{Source, Stop, Stopped};
use crate::writers::{Tail, TailReader, Whereabouts};

/// So long is waited before positions are read again that could not be.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// See the module's documentation.
pub(super) struct Bookmark {
    store: Arc<dyn LogStore>,
    tail: Arc<Tail>,
    name: &'static str,
    family: Family,
    pub(super) reader: TailReader,
    /// By shard number, what the database has.
    stored: Vec<Position>,
    whereabouts: Arc<Whereabouts>,
}

impl Bookmark {
    /// Goes on where the name was before.
    pub(super) async fn open(
        (store, tail): Source,
        name: &'static str,
        family: Family,
    ) -> Result<Self, StoreError> {
        let from = store.models().cursors(name, family).await?;
        let stored = by_number(&*store, &from);
        Ok(Self {
            whereabouts: tail.note_reader((name, family), &stored),
            stored,
            reader: tail.follow(family, &from),
            store,
            tail,
            name,
            family,
        })
    }

    /// Operators know the reader by another name.
    #[must_use]
    pub(super) fn known_as(mut self, name: &'static str) -> Self {
        self.whereabouts = self.tail.note_reader((name, self.family), &self.stored);
        self
    }

    /// What was read is done, whether it is stored or not.
    pub(super) fn note_done(&self) {
        self.whereabouts.come_to(&self.read());
    }

    /// The log.
    pub(super) fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// What the database has, by shard number.
    pub(super) fn stored(&self) -> &[Position] {
        &self.stored
    }

    /// What was read, by shard number.
    pub(super) fn read(&self) -> Vec<Position> {
        let numbers = 0..self.store.layout().shards;
        numbers.map(|number| self.reader.position(number)).collect()
    }

    /// Stores what was read, with what came of it. [`StoreError::Overtaken`]: another reader has been here, and nothing of it was stored.
    pub(super) async fn save(&mut self, statements: Vec<Statement>) -> Result<(), StoreError> {
        let read = self.read();
        let steps = (0..).zip(self.stored.iter().zip(&read));
        let steps = steps.filter(|(_, (stored, read))| stored != read);
        let steps: Vec<_> = steps
            .map(|(number, (stored, read))| self.step(number, *stored, *read))
            .collect();
        if !statements.is_empty() || !steps.is_empty() {
            self.store.models().apply(statements, steps).await?;
        }
        self.stored = read;
        Ok(())
    }

    /// Stores that everything up to a record was read, with what came of it.
    pub(super) async fn save_one(
        &mut self,
        (number, position): (ShardNumber, Position),
        statements: Vec<Statement>,
    ) -> Result<(), StoreError> {
        let stored = self.stored.get(usize::from(number)).copied();
        let step = self.step(number, stored.unwrap_or(0), position);
        self.store.models().apply(statements, vec![step]).await?;
        if let Some(stored) = self.stored.get_mut(usize::from(number)) {
            *stored = position;
        }
        Ok(())
    }

    /// Goes on from where another reader has come to; insists.
    pub(super) async fn find_again(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        tracing::info!(reader = self.name, family = %self.family, "another node has read meanwhile, going on from there");
        metrics::counter!("playhouse_overtaken_total", "reader" => self.name).increment(1);
        loop {
            match self.store.models().cursors(self.name, self.family).await {
                Ok(from) => {
                    self.stored = by_number(&*self.store, &from);
                    self.whereabouts.come_to(&self.stored);
                    self.reader = self.tail.follow(self.family, &from);
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(reader = self.name, %error, "cannot read positions");
                }
            }
            if !stop.pause(RETRY_AFTER).await {
                return Err(Stopped);
            }
        }
    }

    fn step(&self, number: ShardNumber, from: Position, position: Position) -> CursorAdvance {
        CursorAdvance {
            name: self.name,
            shard: Shard {
                family: self.family,
                number,
            },
            from: Some(from),
            position,
        }
    }
}

/// Positions by shard number; 0 where there is none.
pub(super) fn by_number(store: &dyn LogStore, from: &[(ShardNumber, Position)]) -> Vec<Position> {
    let mut positions = vec![0; usize::from(store.layout().shards)];
    for (number, position) in from {
        if let Some(at) = positions.get_mut(usize::from(*number)) {
            *at = *position;
        }
    }
    positions
}
