//! What goes into one statement, and what becomes of it.

use std::sync::Arc;

use playhouse_schema::{
    address::ShardNumber,
    port::{Batch, Head, Landed, NewRecord, StoredRecord},
};

use super::desk::{Body, Queued};
use crate::{
    env::Env,
    kernel::append::{AppendError, Landing},
};

/// A batch, and the appends it came from with the number of records of each.
pub(super) struct Taken {
    /// Not written as a whole: the first records of the batch are its.
    sliced: Option<(Queued, usize)>,
    appends: Vec<(Queued, usize)>,
    pub(super) batch: Batch,
    /// Its first answer was lost. If it is fenced then, it may have landed before.
    pub(super) was_in_doubt: bool,
}

impl Taken {
    pub(super) fn new(env: &Env, at_ms: u64) -> Self {
        let id = uuid::Builder::from_unix_timestamp_millis(at_ms, &env.random_bytes()).into_uuid();
        Self {
            sliced: None,
            appends: Vec::new(),
            batch: Batch {
                id,
                at_ms,
                records: Vec::new(),
                erasures: Vec::new(),
            },
            was_in_doubt: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sliced.is_none() && self.appends.is_empty()
    }

    /// Begins with some records of an append.
    pub(super) fn begin_with(&mut self, queued: Queued, slice: Vec<NewRecord>) {
        self.sliced = Some((queued, slice.len()));
        self.batch.records = slice;
    }

    /// Takes an append in; whether nothing may follow it.
    pub(super) fn add(&mut self, mut queued: Queued) -> bool {
        let body = queued.open();
        let is_last = !body.erasures.is_empty();
        self.appends.push((queued, body.records.len()));
        self.batch.records.extend(body.records);
        self.batch.erasures.extend(body.erasures);
        is_last
    }

    pub(super) fn records(&self) -> usize {
        self.batch.records.len() + self.batch.erasures.len()
    }

    /// Whether an append replaces a record that is in this batch: it must wait for the next one.
    pub(super) fn is_erased_by(&self, queued: &Queued) -> bool {
        queued.body.erasures.iter().any(|erasure| {
            let mut written = self.batch.records.iter();
            let is_target = |sequence: u64| erasure.targets().any(|target| target == sequence);
            written.any(|record| record.entity == erasure.entity && is_target(record.sequence))
        })
    }

    /// Tells all whose records have landed, and gives back what is left.
    pub(super) fn succeed(self, landed: Vec<Landed>) -> Vec<Queued> {
        let mut landed = landed.into_iter();
        let left = self.sliced.map(|(mut queued, records)| {
            queued.land(landed.by_ref().take(records));
            queued
        });
        for (queued, records) in self.appends {
            queued.finish(Ok(Landing {
                landed: landed.by_ref().take(records).collect(),
                at_ms: self.batch.at_ms,
            }));
        }
        left.into_iter().collect()
    }

    pub(super) fn fail(self, error: &AppendError) {
        // All of them before anybody hears of it: what was decided on these records is void.
        let all = self.sliced.into_iter().chain(self.appends);
        let all: Vec<_> = all.map(|(queued, _)| queued).collect();
        for queued in &all {
            queued.lineage.break_off();
        }
        for queued in all {
            queued.finish(Err(error.clone()));
        }
    }

    /// Fails the appends of a shard that is fenced, and gives back the others as they were: nothing of the batch was written. Where that is not known all fail.
    pub(super) fn without(self, fenced: ShardNumber) -> Vec<Queued> {
        if self.was_in_doubt {
            self.fail(&AppendError::Fenced);
            return Vec::new();
        }
        let mut records = self.batch.records.into_iter();
        let mut erasures = Some(self.batch.erasures);
        let (mut others, mut lost) = (Vec::new(), Vec::new());
        if let Some((mut queued, number)) = self.sliced {
            queued.mend(records.by_ref().take(number).collect());
            if queued.shard == fenced {
                queued.lineage.break_off();
                lost.push(queued);
            } else {
                others.push(queued);
            }
        }
        let count = self.appends.len();
        for (index, (mut queued, number)) in self.appends.into_iter().enumerate() {
            let records = records.by_ref().take(number).collect();
            // Only the last append of a batch has any.
            let erasures = (index + 1 == count).then(|| erasures.take()).flatten();
            if queued.shard == fenced {
                // All of them before anybody hears of it: what was decided on these records is void.
                queued.lineage.break_off();
                lost.push(queued);
            } else {
                queued.close(Body {
                    records,
                    erasures: erasures.unwrap_or_default(),
                });
                others.push(queued);
            }
        }
        for queued in lost {
            queued.finish(Err(AppendError::Fenced));
        }
        others
    }
}

/// What was written, as a reader of the log would see it.
pub(super) fn stored(
    records: &[NewRecord],
    landed: &[Landed],
    heads: &[Head],
    at_ms: u64,
) -> Arc<[StoredRecord]> {
    let epoch = |shard| {
        let mut held = heads.iter();
        held.find(|head| head.shard == shard)
            .map_or(0, |head| head.epoch)
    };
    let records = records
        .iter()
        .zip(landed)
        .map(|(record, landed)| StoredRecord {
            shard: landed.shard,
            position: landed.position,
            entity: record.entity.clone(),
            sequence: record.sequence,
            kind: record.kind,
            key: record.key.clone(),
            epoch: epoch(landed.shard),
            at_ms,
            payload: record.payload.clone(),
        });
    records.collect()
}
