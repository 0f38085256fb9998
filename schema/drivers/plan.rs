//! What both drivers compute before they write: positions, chain values, new heads.
//!
//! Knows no database. The heads it remembers change only when the driver says that a plan was committed.

use std::{borrow::Cow, collections::BTreeMap};

use uuid::Uuid;

use crate::{
    address::{Entity, Family, Layout, Place, Position, Shard, ShardNumber},
    chain::{self, Digest, Link},
    migrate::port::Put,
    port::{Batch, Head, Landed, StoreError},
    record::{self, Kind, codec::ErasureNote},
};

/// A row to insert. Columns that PostgreSQL and SQLite hold as BIGINT are converted here.
pub(crate) struct PlannedRow<'a> {
    pub(crate) place: i64,
    pub(crate) entity: &'a str,
    pub(crate) sequence: i64,
    pub(crate) kind: Kind,
    pub(crate) epoch: i64,
    pub(crate) chain: Digest,
    pub(crate) key: Option<&'a str>,
    pub(crate) payload: Cow<'a, [u8]>,
}

/// A payload to replace.
pub(crate) struct Replacement<'a> {
    pub(crate) entity: &'a str,
    pub(crate) target: i64,
    pub(crate) payload: &'a [u8],
}

/// A shard whose head moves.
pub(crate) struct Moved {
    pub(crate) before: Head,
    pub(crate) after: Head,
}

/// A batch, ready to be written.
pub(crate) struct Plan<'a> {
    pub(crate) at_ms: i64,
    pub(crate) rows: Vec<PlannedRow<'a>>,
    pub(crate) replacements: Vec<Replacement<'a>>,
    pub(crate) moved: Vec<Moved>,
    pub(crate) landed: Vec<Landed>,
}

/// A head as the database has it.
pub(crate) struct StoredHead {
    pub(crate) head: Head,
    pub(crate) batch: Uuid,
}

/// The heads that an appender holds.
pub(crate) struct Heads {
    family: Family,
    layout: Layout,
    by_shard: BTreeMap<ShardNumber, Head>,
}

impl Heads {
    /// None yet.
    pub(crate) fn new(family: Family, layout: Layout) -> Self {
        Self {
            family,
            layout,
            by_shard: BTreeMap::new(),
        }
    }

    pub(crate) fn all(&self) -> Vec<Head> {
        self.by_shard.values().copied().collect()
    }

    pub(crate) fn plan<'a>(&self, batch: &'a Batch) -> Result<Plan<'a>, StoreError> {
        let mut planner = Planner {
            heads: self,
            moved: BTreeMap::new(),
            at_ms: batch.at_ms,
            rows: Vec::with_capacity(batch.records.len() + batch.erasures.len()),
            newest: None,
        };
        let mut landed = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            landed.push(planner.add(Draft {
                entity: &record.entity,
                sequence: record.sequence,
                kind: record.kind,
                key: record.key.as_deref(),
                payload: Cow::Borrowed(&record.payload),
            })?);
        }
        // Of several replacements of one payload the last one stands, on both engines.
        let mut replacements = BTreeMap::new();
        for erasure in &batch.erasures {
            for target in erasure.targets() {
                replacements.insert((erasure.entity.as_str(), target), &erasure.payload[..]);
            }
            planner.add(Draft {
                entity: &erasure.entity,
                sequence: erasure.note,
                kind: record::ERASURE,
                key: None,
                payload: Cow::Owned(encode_note(&ErasureNote {
                    sequence: erasure.target,
                    digest: chain::digest(&erasure.payload),
                    others: erasure.others.clone(),
                })?),
            })?;
        }
        Ok(Plan {
            at_ms: column(batch.at_ms)?,
            rows: planner.rows,
            replacements: replacements
                .into_iter()
                .map(|((entity, target), payload)| {
                    Ok(Replacement {
                        entity,
                        target: column(target)?,
                        payload,
                    })
                })
                .collect::<Result<_, StoreError>>()?,
            moved: planner.moved.into_values().collect(),
            landed,
        })
    }

    /// These shards are ours under the epochs in them.
    pub(crate) fn take(&mut self, heads: impl IntoIterator<Item = Head>) {
        for head in heads {
            self.by_shard.insert(head.shard.number, head);
        }
    }

    pub(crate) fn let_go(&mut self, shards: &[ShardNumber]) {
        self.by_shard.retain(|number, _| !shards.contains(number));
    }

    /// The plan is in the database.
    pub(crate) fn advance(&mut self, moved: &[Moved]) {
        for moved in moved {
            self.by_shard.insert(moved.after.shard.number, moved.after);
        }
    }

    /// Compares a plan whose fate is unknown with what the database says of the shards that are still ours: whether it was committed, `None` when none of its
    /// shards is among them. The heads held are those of the database afterwards. What another owner has taken meanwhile stays held as it was, so that the next
    /// append to it is refused.
    pub(crate) fn settle(
        &mut self,
        moved: &[Moved],
        id: Uuid,
        stored: &[StoredHead],
    ) -> Result<Option<bool>, StoreError> {
        let find = |shard: Shard| stored.iter().find(|stored| stored.head.shard == shard);
        let mut fate = None;
        for moved in moved {
            let shard = moved.before.shard;
            let Some(now) = find(shard) else {
                continue;
            };
            let is =
                |head: &Head| (now.head.position, now.head.chain) == (head.position, head.chain);
            let is_committed = is(&moved.after) && now.batch == id;
            if !is_committed && !is(&moved.before) {
                return Err(StoreError::Fenced(shard));
            }
            if fate.is_some_and(|fate| fate != is_committed) {
                return Err(StoreError::Damaged(format!(
                    "batch {id} is in some of its shards of {} only",
                    self.family
                )));
            }
            fate = Some(is_committed);
        }
        if fate == Some(true) {
            self.advance(moved);
        }
        for stored in stored {
            if let Some(held) = self.by_shard.get_mut(&stored.head.shard.number) {
                *held = stored.head;
            }
        }
        Ok(fate)
    }
}

/// A record without its place.
struct Draft<'a> {
    entity: &'a Entity,
    sequence: u64,
    kind: Kind,
    key: Option<&'a str>,
    payload: Cow<'a, [u8]>,
}

struct Planner<'a, 'h> {
    heads: &'h Heads,
    moved: BTreeMap<ShardNumber, Moved>,
    at_ms: u64,
    rows: Vec<PlannedRow<'a>>,
    /// The entity of the record before this one, whose shard need not be computed again.
    newest: Option<(&'a Entity, Shard)>,
}

impl<'a> Planner<'a, '_> {
    fn add(&mut self, draft: Draft<'a>) -> Result<Landed, StoreError> {
        let shard = self.shard_of(draft.entity);
        let before = self.heads.by_shard.get(&shard.number);
        let before = before
            .filter(|before| before.shard == shard)
            .copied()
            .ok_or_else(|| {
                StoreError::Database(format!("shard {shard} does not belong to this appender"))
            })?;
        let moved = self.moved.entry(shard.number).or_insert(Moved {
            before,
            after: before,
        });
        let position = moved.after.position + 1;
        let chain = chain::link(
            &moved.after.chain,
            Link {
                position,
                entity: draft.entity.as_str(),
                sequence: draft.sequence,
                kind: draft.kind,
                epoch: before.epoch,
                at_ms: self.at_ms,
            },
            &chain::digest(&draft.payload),
        );
        moved.after.position = position;
        moved.after.chain = chain;
        self.rows.push(PlannedRow {
            place: Place::new(shard.number, position).column(),
            entity: draft.entity.as_str(),
            sequence: column(draft.sequence)?,
            kind: draft.kind,
            epoch: column(before.epoch)?,
            chain,
            key: draft.key,
            payload: draft.payload,
        });
        Ok(Landed { shard, position })
    }

    fn shard_of(&mut self, entity: &'a Entity) -> Shard {
        match self.newest {
            Some((newest, shard)) if newest == entity => shard,
            _ => {
                let shard = self.heads.layout.shard_of(entity);
                self.newest = Some((entity, shard));
                shard
            }
        }
    }
}

fn encode_note(note: &ErasureNote) -> Result<Vec<u8>, StoreError> {
    rmp_serde::to_vec(note).map_err(|error| StoreError::Database(error.to_string()))
}

/// Refuses shards that do not exist or belong to another appender.
pub(crate) fn check_shards(
    shards: &[ShardNumber],
    layout: Layout,
    (index, writers): (usize, usize),
) -> Result<(), StoreError> {
    let is_foreign = |number: &&ShardNumber| {
        **number >= layout.shards || usize::from(**number) % writers != index
    };
    shards.iter().find(is_foreign).map_or(Ok(()), |number| {
        Err(StoreError::Database(format!(
            "shard {number} does not belong to appender {index}"
        )))
    })
}

/// Refuses what is no run of records from one head to the other, or has numbers that no column holds.
pub(crate) fn check_put(put: &Put<'_>) -> Result<(), StoreError> {
    let wrong = |what: &str| {
        Err(StoreError::Database(format!(
            "{}: {what}",
            put.before.shard
        )))
    };
    let mut position = put.before.position;
    for chained in put.records {
        let record = &chained.record;
        position += 1;
        if (record.shard, record.position) != (put.before.shard, position) {
            return wrong("what is to be put there has gaps");
        }
        for number in [record.sequence, record.epoch, record.at_ms] {
            column(number)?;
        }
    }
    let last = put.records.last();
    let chain = last.map_or(put.before.chain, |last| last.chain);
    if (put.after.shard, put.after.position, put.after.chain) != (put.before.shard, position, chain)
    {
        return wrong("what is to be put there does not end at its head");
    }
    Ok(())
}

/// A number as a BIGINT.
pub(crate) fn column(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| StoreError::Database(format!("number {number} is too large for the database")))
}

/// A bound of a range as a BIGINT: what lies above all numbers is the highest.
pub(crate) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns between which the records of a shard after a position lie.
pub(crate) fn stretch(shard: Shard, after: Position) -> (i64, i64) {
    (
        Place::new(shard.number, after).column(),
        Place::new(shard.number, Position::MAX).column(),
    )
}

impl Replacement<'_> {
    /// There is nothing to replace.
    pub(crate) fn missing(&self) -> StoreError {
        StoreError::Database(format!(
            "{} has no record {} whose payload could be replaced",
            self.entity, self.target
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::NewRecord;

    #[test]
    fn what_was_committed_before_a_shard_was_lost_is_known() {
        let layout = Layout::default();
        let entities: Vec<_> = ["!a:a", "!b:a", "!c:a", "!d:a"].map(Entity::room).into();
        let mut heads = Heads::new(Family::Rooms, layout);
        heads.take((0..layout.shards).map(|number| Head {
            shard: Shard {
                family: Family::Rooms,
                number,
            },
            position: 0,
            chain: chain::GENESIS,
            epoch: 1,
        }));
        let records = entities.iter().map(|entity| NewRecord {
            entity: entity.clone(),
            sequence: 1,
            kind: 100,
            key: None,
            payload: "a".into(),
        });
        let batch = Batch {
            id: Uuid::from_u128(7),
            at_ms: 1,
            records: records.collect(),
            erasures: Vec::new(),
        };
        let plan = heads.plan(&batch).unwrap();
        assert!(plan.moved.len() > 1, "the rooms lie apart");
        let left = StoredHead {
            head: Head {
                epoch: 2,
                ..plan.moved[0].after
            },
            batch: batch.id,
        };
        let fate = heads.settle(&plan.moved, batch.id, &[left]).unwrap();
        assert_eq!(fate, Some(true));
        for (index, moved) in plan.moved.iter().enumerate() {
            let held = heads.by_shard[&moved.after.shard.number];
            let epoch = if index == 0 { 2 } else { 1 };
            assert_eq!((held.position, held.epoch), (moved.after.position, epoch));
        }
        assert_eq!(heads.settle(&plan.moved, batch.id, &[]).unwrap(), None);
    }
}
