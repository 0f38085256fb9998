//! What is written in the log in memory.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use playhouse_schema::{
    address::{Entity, Family, Layout, Position, Sequence, Shard},
    chain,
    port::{Batch, ChainedRecord, Head, Landed, Snapshot, StoreError, StoredRecord},
    record::{ERASURE, codec::ErasureNote},
};

use super::{Fault, Mistake};

/// What [`Mistake::EarlyAnswers`] loses was written within this time.
const LOST_WITHIN: Duration = Duration::from_millis(300);

#[derive(Default)]
pub(super) struct Shelf {
    pub(super) records: Vec<ChainedRecord>,
    /// When each of them was written.
    times: Vec<Instant>,
    pub(super) epoch: u64,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) shards: BTreeMap<Shard, Shelf>,
    pub(super) entities: BTreeMap<(Entity, Sequence), (Shard, Position)>,
    pub(super) keys: BTreeMap<(Family, Arc<str>), (Shard, Position)>,
    pub(super) snapshots: BTreeMap<Entity, Snapshot>,
    pub(super) settled: BTreeMap<uuid::Uuid, Vec<Landed>>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) settle_failures: usize,
    pub(super) batches: Vec<usize>,
    pub(super) fenced: BTreeSet<Shard>,
    pub(super) lost_at_settling: BTreeSet<Shard>,
    pub(super) mistake: Option<Mistake>,
    pub(super) opened: usize,
}

impl Books {
    pub(super) fn record(&self, (shard, position): (Shard, Position)) -> &ChainedRecord {
        &self.shards[&shard].records[position as usize - 1]
    }

    pub(super) fn head(&self, shard: Shard) -> Head {
        let shelf = self.shards.get(&shard);
        let last = shelf.and_then(|shelf| shelf.records.last());
        Head {
            shard,
            position: last.map_or(0, |last| last.record.position),
            chain: last.map_or(chain::GENESIS, |last| last.chain),
            epoch: shelf.map_or(0, |shelf| shelf.epoch),
        }
    }

    fn push(&mut self, mut record: StoredRecord) -> Landed {
        let head = self.head(record.shard);
        record.position = head.position + 1;
        record.epoch = head.epoch;
        let place = (record.shard, record.position);
        let link = chain::Link {
            position: record.position,
            entity: record.entity.as_str(),
            sequence: record.sequence,
            kind: record.kind,
            epoch: record.epoch,
            at_ms: record.at_ms,
        };
        let chained = chain::link(&head.chain, link, &chain::digest(&record.payload));
        self.entities
            .insert((record.entity.clone(), record.sequence), place);
        if let Some(key) = &record.key {
            self.keys.insert((record.shard.family, key.clone()), place);
        }
        let shelf = self.shards.entry(record.shard).or_default();
        shelf.times.push(Instant::now());
        shelf.records.push(ChainedRecord {
            record,
            erased: None,
            chain: chained,
        });
        Landed {
            shard: place.0,
            position: place.1,
        }
    }

    /// A shard of rooms gets another owner: by [`Mistake::EarlyAnswers`] its newest records were answered and never committed.
    pub(super) fn change_owner(&mut self, shard: Shard) {
        if self.mistake != Some(Mistake::EarlyAnswers) || shard.family != Family::Rooms {
            return;
        }
        let Some(shelf) = self.shards.get_mut(&shard) else {
            return;
        };
        while shelf
            .times
            .pop_if(|time| time.elapsed() < LOST_WITHIN)
            .is_some()
        {
            let Some(lost) = shelf.records.pop() else {
                return;
            };
            let record = lost.record;
            self.entities.remove(&(record.entity, record.sequence));
            if let Some(key) = record.key {
                self.keys.remove(&(shard.family, key));
            }
        }
    }

    pub(super) fn check(
        &self,
        layout: Layout,
        epochs: &[(Shard, u64)],
        batch: &Batch,
    ) -> Result<(), StoreError> {
        let mut seen = BTreeSet::new();
        let erased = batch.erasures.iter().map(|e| (&e.entity, e.note, None));
        let written = batch
            .records
            .iter()
            .map(|r| (&r.entity, r.sequence, r.key.clone()));
        for (entity, sequence, key) in written.chain(erased) {
            let shard = layout.shard_of(entity);
            let own = epochs.iter().find(|(own, _)| *own == shard);
            let Some((_, epoch)) = own else {
                return Err(StoreError::Database(format!(
                    "{shard} is not of this appender"
                )));
            };
            if self.mistake == Some(Mistake::NoEpochs) {
                continue;
            }
            if self.fenced.contains(&shard) || self.head(shard).epoch != *epoch {
                return Err(StoreError::Fenced(shard));
            }
            let taken = self.entities.contains_key(&(entity.clone(), sequence));
            if taken || !seen.insert((entity.clone(), sequence)) {
                return Err(StoreError::Database(format!(
                    "{entity} {sequence} is taken"
                )));
            }
            if key.is_some_and(|key| self.keys.contains_key(&(shard.family, key))) {
                return Err(StoreError::Database("key is taken".into()));
            }
        }
        match batch.erasures.iter().find(|erasure| {
            !self
                .entities
                .contains_key(&(erasure.entity.clone(), erasure.target))
        }) {
            Some(_) => Err(StoreError::Database("no such record to erase".into())),
            None => Ok(()),
        }
    }

    pub(super) fn write(&mut self, layout: Layout, batch: &Batch) -> Vec<Landed> {
        let mut landed = Vec::new();
        for record in &batch.records {
            landed.push(self.push(StoredRecord {
                shard: layout.shard_of(&record.entity),
                position: 0,
                entity: record.entity.clone(),
                sequence: record.sequence,
                kind: record.kind,
                key: record.key.clone(),
                epoch: 0,
                at_ms: batch.at_ms,
                payload: record.payload.clone(),
            }));
        }
        for erasure in &batch.erasures {
            let place = self.entities[&(erasure.entity.clone(), erasure.target)];
            for sequence in erasure.targets() {
                let place = self.entities[&(erasure.entity.clone(), sequence)];
                let shelf = self.shards.entry(place.0).or_default();
                let target = &mut shelf.records[place.1 as usize - 1];
                target
                    .erased
                    .get_or_insert(chain::digest(&target.record.payload));
                target.record.payload = erasure.payload.clone();
            }
            let note = ErasureNote {
                sequence: erasure.target,
                digest: chain::digest(&erasure.payload),
                others: erasure.others.clone(),
            };
            self.push(StoredRecord {
                shard: place.0,
                position: 0,
                entity: erasure.entity.clone(),
                sequence: erasure.note,
                kind: ERASURE,
                key: None,
                epoch: 0,
                at_ms: batch.at_ms,
                payload: rmp_serde::to_vec(&note).unwrap().into(),
            });
        }
        self.batches.push(batch.records.len());
        self.settled.insert(batch.id, landed.clone());
        landed
    }
}
