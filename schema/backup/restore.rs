//! A house that begins anew from a backup: the log up to a moment, and what has to be said after it.
//!
//! What was after the moment is lost to the house, but not to everybody else. So before the house opens again it is recorded that no one-time key of before
//! is given out,
//! since it may have been; that what took something away between the moment and the end of the backup (devices that were removed, tokens that were revoked,
//! accounts
//! that were closed or locked) is done again, so that nobody gets back what was taken; and that other servers are to be asked for what they know. The new log
//! is
//! of another era, so that sync tokens of before are not taken for its own.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{BackupError, Bound, Course, PAGE, PARKED_MAX, must_be_empty};
use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard},
    chain::{self, Link},
    migrate::{
        Progress, Step, Told,
        port::{HeldStore, Put},
    },
    models::{
        parked::{self, Parked},
        positions::{self, ReaderPosition},
    },
    port::{ChainedRecord, Head, LogStore, Statement, StoreError, StoredRecord},
    record::{
        ERASURE, Kind,
        codec::{ErasureNote, Record as _},
        restore::{self as records, RestoreRecord},
        user::{DEACTIVATED, Deactivated, UserRecord},
    },
    verify::{Walk, verify_shard},
};

/// Up to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreWish {
    /// What was recorded later is left out, milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// Nothing is left out, whatever time is written at it: a clock may have been wrong.
    pub is_whole: bool,
    /// When it is done.
    pub now_ms: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// So many records were brought.
    pub records: u64,
    /// So many of the backup are later than the moment, or stand behind one that is …
    pub left_out: u64,
    /// … and so many of these are not later themselves: the clock was set back.
    pub out_of_time: u64,
    /// Of so many devices one-time keys are given out no more.
    pub devices: u64,
    /// So many times was done again what took something away.
    pub done_again: u64,
    /// So many erasures of after the moment hold.
    pub erased: u64,
}

/// A record that is not in the backup.
struct Draft {
    entity: Entity,
    kind: Kind,
    payload: Bytes,
    /// Also when the entity has no record yet.
    begins: bool,
}

impl Draft {
    fn new(entity: Entity, record: &UserRecord) -> Self {
        Self {
            entity,
            kind: record.kind(),
            payload: record.encode(),
            begins: false,
        }
    }
}

/// What the new log is fixed to: it is told apart from the one before, and from that of any other restore.
pub fn layout_after(before: Layout, now_ms: u64) -> Layout {
    let era = (now_ms / 1_000) as u32;
    Layout {
        era: if era == before.era { era + 1 } else { era },
        ..before
    }
}

/// Fills an empty database of another era with the log up to a moment. The database is unfinished still: see [`complete`].
pub async fn restore(
    from: &dyn LogStore,
    to: &dyn HeldStore,
    wish: RestoreWish,
    told: Told<'_>,
) -> Result<Restored, BackupError> {
    must_be_empty(to).await?;
    let (ours, theirs) = (from.layout(), to.log().layout());
    if ours.shards != theirs.shards || ours.era == theirs.era {
        return Err(BackupError::Occupied(
            "the database was made by something else: name an empty one".to_owned(),
        ));
    }
    let course = Course { from, to };
    let mut heads = Vec::new();
    for family in Family::ALL {
        heads.extend(from.heads(family).await?);
    }
    let mut progress = Progress {
        step: Step::Records,
        done: 0,
        all: heads.iter().map(|head| head.position).sum(),
    };
    let mut restored = Restored::default();
    let mut cuts = BTreeMap::new();
    for head in heads {
        let mut passed = |records: u64| {
            progress.done += records;
            told(progress);
        };
        let cut = course.cut(head, wish, &mut restored, &mut passed).await?;
        cuts.insert(head.shard, cut);
    }
    bring_readers(course, &cuts).await?;
    Ok(restored)
}

/// Checks what was restored and makes the database an ordinary one. Read models were folded before.
pub async fn complete(to: &dyn HeldStore, told: Told<'_>) -> Result<u64, BackupError> {
    let log = to.log();
    let mut heads = Vec::new();
    for family in Family::ALL {
        heads.extend(log.heads(family).await?);
    }
    let mut progress = Progress {
        step: Step::Verification,
        done: 0,
        all: heads.iter().map(|head| head.position).sum(),
    };
    for head in heads {
        progress.done += verify_shard(&*log, head.shard).await?.position;
        told(progress);
    }
    to.complete().await?;
    Ok(progress.done)
}

/// Readers go on where they were, and no later than where the log ends that they had read.
async fn bring_readers(
    course: Course<'_>,
    cuts: &BTreeMap<Shard, Position>,
) -> Result<(), StoreError> {
    let models = course.from.models();
    let cut = |shard: &Shard| cuts.get(shard).copied().unwrap_or(0);
    let mut readers = positions::all(&*models).await?;
    for reader in &mut readers {
        reader.position = reader.position.min(cut(&reader.shard));
    }
    let mut parked = parked::all(&*models, PARKED_MAX).await?;
    parked.retain(|parked| parked.position <= cut(&parked.shard));
    let mut statements: Vec<Statement> = readers.iter().map(ReaderPosition::set).collect();
    statements.extend(parked.iter().map(Parked::park));
    let target = course.to.log().models();
    target.apply(statements, Vec::new()).await
}

impl Course<'_> {
    /// Brings a shard up to the moment, and says what has to be said after it. Tells where the moment is in it.
    async fn cut(
        self,
        ours: Head,
        wish: RestoreWish,
        restored: &mut Restored,
        passed: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Position, BackupError> {
        let bound = Bound {
            position: ours.position,
            at_ms: match wish.is_whole {
                true => u64::MAX,
                false => wish.until_ms,
            },
        };
        let mut devices = BTreeSet::new();
        let (walk, mut at) = self
            .copy(Walk::new(ours.shard), ours, bound, &mut |page| {
                devices.extend(page.iter().filter_map(|one| device_with_keys(&one.record)));
                passed(page.len() as u64);
            })
            .await?;
        let cut = at.position;
        restored.records += cut;
        restored.left_out += ours.position.saturating_sub(cut);
        let notes = notes(&walk)?;
        restored.erased += self.say(&mut at, notes, wish.now_ms).await?;
        let (again, out_of_time) = self.behind((ours.shard, cut), wish.until_ms).await?;
        restored.out_of_time += out_of_time;
        restored.done_again += self.say(&mut at, again, wish.now_ms).await?;
        let dropped = devices.into_iter().map(|(entity, device_id)| {
            Draft::new(entity, &UserRecord::OneTimeKeysDropped(device_id))
        });
        restored.devices += self.say(&mut at, dropped.collect(), wish.now_ms).await?;
        if self.to.log().layout().shard_of(&records::entity()) == ours.shard {
            self.say(&mut at, vec![said_of(wish)], wish.now_ms).await?;
        }
        passed(ours.position.saturating_sub(cut));
        Ok(cut)
    }

    /// What took something away from users after the moment, and how many records behind it are not later than it.
    async fn behind(
        self,
        (shard, cut): (Shard, Position),
        until_ms: u64,
    ) -> Result<(Vec<Draft>, u64), StoreError> {
        let (mut drafts, mut out_of_time) = (Vec::new(), 0);
        let mut after = cut;
        loop {
            let page = self.from.read_shard(shard, after, PAGE).await?;
            let early = page.iter().filter(|record| record.at_ms <= until_ms);
            out_of_time += early.count() as u64;
            for record in &page {
                let Some(user_record) = user_record(record) else {
                    continue;
                };
                if gives_back(&user_record) {
                    drafts.retain(|draft: &Draft| {
                        (&draft.entity, draft.kind) != (&record.entity, record.kind)
                    });
                } else if takes_away(&user_record) || reopens(&user_record, &record.entity, &drafts)
                {
                    drafts.push(Draft {
                        entity: record.entity.clone(),
                        kind: record.kind,
                        payload: record.payload.clone(),
                        begins: false,
                    });
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.position,
                _ => return Ok((drafts, out_of_time)),
            }
        }
    }

    /// Puts records behind a head. Those of entities that the log does not know are left out. Tells how many there are.
    async fn say(self, at: &mut Head, drafts: Vec<Draft>, at_ms: u64) -> Result<u64, StoreError> {
        let log = self.to.log();
        let mut newest = BTreeMap::<Entity, Sequence>::new();
        let mut count = 0;
        for chunk in drafts.chunks(PAGE) {
            let before = *at;
            let mut records = Vec::with_capacity(chunk.len());
            for draft in chunk {
                let known = match newest.get(&draft.entity) {
                    Some(sequence) => Some(*sequence),
                    None => {
                        let heads = log.entity_heads(std::slice::from_ref(&draft.entity));
                        let head = heads.await?.into_iter().flatten().next();
                        head.map(|head| head.sequence)
                    }
                };
                if known.is_none() && !draft.begins {
                    continue;
                }
                let sequence = known.unwrap_or(0) + 1;
                newest.insert(draft.entity.clone(), sequence);
                records.push(chained(at, draft, (sequence, at_ms)));
            }
            if records.is_empty() {
                continue;
            }
            count += records.len() as u64;
            self.to
                .put(Put {
                    before,
                    after: *at,
                    records: &records,
                })
                .await?;
        }
        Ok(count)
    }
}

/// A record behind a head, which moves.
fn chained(at: &mut Head, draft: &Draft, (sequence, at_ms): (Sequence, u64)) -> ChainedRecord {
    let position = at.position + 1;
    let link = Link {
        position,
        entity: draft.entity.as_str(),
        sequence,
        kind: draft.kind,
        epoch: at.epoch,
        at_ms,
    };
    let chain = chain::link(&at.chain, link, &chain::digest(&draft.payload));
    at.position = position;
    at.chain = chain;
    ChainedRecord {
        record: StoredRecord {
            shard: at.shard,
            position,
            entity: draft.entity.clone(),
            sequence,
            kind: draft.kind,
            key: None,
            epoch: at.epoch,
            at_ms,
            payload: draft.payload.clone(),
        },
        erased: None,
        chain,
    }
}

/// What was replaced after the moment stays replaced: there is nothing else to put there.
fn notes(walk: &Walk) -> Result<Vec<Draft>, StoreError> {
    let unnoted = walk.unnoted().into_iter();
    let note = |(entity, sequence, digest)| {
        let payload = rmp_serde::to_vec(&ErasureNote {
            sequence,
            digest,
            others: Vec::new(),
        });
        let payload = payload.map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Draft {
            entity,
            kind: ERASURE,
            payload: payload.into(),
            begins: false,
        })
    };
    unnoted.map(note).collect()
}

fn said_of(wish: RestoreWish) -> Draft {
    let record = RestoreRecord::Restored(records::Restored {
        until_ms: wish.until_ms,
        at_ms: wish.now_ms,
    });
    Draft {
        entity: records::entity(),
        kind: record.kind(),
        payload: record.encode(),
        begins: true,
    }
}

fn user_record(record: &StoredRecord) -> Option<UserRecord> {
    // Most records are of rooms.
    if record.shard.family != Family::Users || record.entity.prefix() != "user" {
        return None;
    }
    UserRecord::decode(record).ok().flatten()
}

/// The device that a record gives one-time keys to.
fn device_with_keys(record: &StoredRecord) -> Option<(Entity, String)> {
    match user_record(record)? {
        UserRecord::OneTimeKeysAdded(added) => Some((record.entity.clone(), added.device_id)),
        _ => None,
    }
}

/// Whether a record takes something from its user that nobody is to get back by a restore.
fn takes_away(record: &UserRecord) -> bool {
    matches!(
        record,
        UserRecord::Deactivated(Deactivated { .. })
            | UserRecord::LockSet(true)
            | UserRecord::SuspensionSet(true)
            | UserRecord::ShadowBanSet(true)
            | UserRecord::AdminSet(false)
            | UserRecord::DeviceRemoved(_)
            | UserRecord::TokensRevoked(_)
    )
}

/// Whether a record opens an account again that is closed again before it: sessions and devices from before the end stay gone.
fn reopens(record: &UserRecord, entity: &Entity, drafts: &[Draft]) -> bool {
    let closes = |draft: &Draft| (&draft.entity, draft.kind) == (entity, DEACTIVATED);
    matches!(record, UserRecord::Reopened(_)) && drafts.iter().any(closes)
}

/// Whether a record takes back what records of its kind took away before.
fn gives_back(record: &UserRecord) -> bool {
    matches!(
        record,
        UserRecord::LockSet(false)
            | UserRecord::SuspensionSet(false)
            | UserRecord::ShadowBanSet(false)
            | UserRecord::AdminSet(true)
    )
}
