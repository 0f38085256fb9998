//! The writing side of one log file.

use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior};
use uuid::Uuid;

use super::{
    super::plan::{Heads, Moved, Plan, Replacement, StoredHead, bound, check_shards},
    Inner,
    files::{empty_wal, failure},
    read,
};
use crate::{
    address::{Family, ShardNumber},
    chain::{self, Digest},
    port::{Batch, ERASED_BYTES, Head, Landed, LogAppender, StoreError, StoreFuture},
    record,
};

/// Writes one file. The only one that does while its epoch lasts.
pub(super) struct SqliteAppender {
    inner: Arc<Inner>,
    index: usize,
    family: Family,
    connection: Connection,
    heads: Heads,
    texts: Texts,
    /// Erased text may still stand in the write-ahead log.
    truncate_due: bool,
}

/// An entity's first record brings its name.
const FIRST: i64 = 1;

/// The statements of a family, spelt once.
struct Texts {
    take: String,
    advance: String,
    name: String,
    insert: String,
    original: String,
    replace: String,
}

impl Texts {
    fn new(family: Family) -> Self {
        Self {
            take: format!(
                "UPDATE shard_{family} SET epoch = epoch + 1, owner = $1 WHERE shard = $2"
            ),
            advance: format!(
                "UPDATE shard_{family} SET head = $1, chain = $2, batch = $3 WHERE shard = $4 AND epoch = $5 AND head = $6"
            ),
            name: format!(
                "INSERT INTO entity_{family} (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
            ),
            insert: format!(
                "INSERT INTO log_{family} (place, entity, sequence, kind, epoch, at_ms, chain, key, payload) \
                 VALUES ($1, (SELECT id FROM entity_{family} WHERE name = $2), $3, $4, $5, $6, $7, $8, $9)"
            ),
            original: format!(
                "SELECT payload, erased FROM log_{family} WHERE entity = (SELECT id FROM entity_{family} WHERE name = $1) AND sequence = $2 AND kind <> {}",
                record::ERASURE
            ),
            replace: format!(
                "UPDATE log_{family} SET erased = $1, payload = $2, key = CASE WHEN $3 THEN NULL ELSE key END \
                 WHERE entity = (SELECT id FROM entity_{family} WHERE name = $4) AND sequence = $5"
            ),
        }
    }
}

impl SqliteAppender {
    /// Opens the file.
    pub(super) fn open(
        inner: Arc<Inner>,
        family: Family,
        index: usize,
    ) -> Result<Self, StoreError> {
        if inner.files_of(family).get(index).is_none() {
            return Err(StoreError::Database(format!(
                "family {family} has {} appenders, so none is number {index}",
                inner.writers
            )));
        }
        let connection = inner.connect_writer(family, index)?;
        let heads = Heads::new(family, inner.layout);
        Ok(Self {
            inner,
            index,
            family,
            connection,
            heads,
            texts: Texts::new(family),
            truncate_due: false,
        })
    }

    fn take_now(&mut self, shards: &[ShardNumber]) -> Result<(), StoreError> {
        let part = (self.index, self.inner.writers);
        check_shards(shards, self.inner.layout, part)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        let owner = std::process::id().to_string();
        for number in shards {
            transaction
                .prepare_cached(&self.texts.take)
                .and_then(|mut statement| statement.execute((&owner, number)))
                .map_err(failure)?;
        }
        let stored = read::heads(&transaction, self.family)?;
        transaction.commit().map_err(failure)?;
        let heads = stored.into_iter().map(|stored| stored.head);
        self.heads
            .take(heads.filter(|head| shards.contains(&head.shard.number)));
        Ok(())
    }

    fn append_now(&mut self, batch: &Batch) -> Result<Vec<Landed>, StoreError> {
        if self.truncate_due {
            self.truncate();
        }
        let plan = self.heads.plan(batch)?;
        if plan.rows.is_empty() {
            return Ok(plan.landed);
        }
        write(&mut self.connection, &self.texts, &plan, batch.id)?;
        self.heads.advance(&plan.moved);
        if !plan.replacements.is_empty() {
            self.truncate();
        }
        Ok(plan.landed)
    }

    /// Moves the write-ahead log into the file and empties it, so that erased text is not left there.
    fn truncate(&mut self) {
        let _moving = self.inner.log_of(self.family, self.index).hold();
        self.truncate_due = empty_wal(&self.connection).is_err();
        if self.truncate_due {
            tracing::warn!(family = %self.family, "erased text is still in the write-ahead log, trying again at the next append");
        }
    }

    fn settle_now(&mut self, batch: &Batch) -> Result<Option<Vec<Landed>>, StoreError> {
        self.connection = self.inner.connect_writer(self.family, self.index)?;
        let stored = read::heads(&self.connection, self.family)?;
        self.check_epochs(&stored)?;
        let plan = self.heads.plan(batch)?;
        // The file holds the heads of all its shards.
        let committed = self.heads.settle(&plan.moved, batch.id, &stored)? == Some(true);
        self.truncate_due |= committed && !plan.replacements.is_empty();
        Ok(committed.then_some(plan.landed))
    }

    fn check_epochs(&self, stored: &[StoredHead]) -> Result<(), StoreError> {
        for held in self.heads.all() {
            let is_held = |stored: &StoredHead| {
                (held.shard, held.epoch) == (stored.head.shard, stored.head.epoch)
            };
            if !stored.iter().any(is_held) {
                return Err(StoreError::Fenced(held.shard));
            }
        }
        Ok(())
    }
}

/// One transaction. Heads come first: they are the fence.
fn write(
    connection: &mut Connection,
    texts: &Texts,
    plan: &Plan<'_>,
    id: Uuid,
) -> Result<(), StoreError> {
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failure)?;
    for moved in &plan.moved {
        advance(&transaction, texts, moved, id)?;
    }
    for replacement in &plan.replacements {
        replace(&transaction, texts, replacement)?;
    }
    {
        let mut insert = transaction.prepare_cached(&texts.insert).map_err(failure)?;
        for row in &plan.rows {
            if row.sequence == FIRST {
                transaction
                    .prepare_cached(&texts.name)
                    .and_then(|mut statement| statement.execute([row.entity]))
                    .map_err(failure)?;
            }
            insert
                .execute((
                    row.place,
                    row.entity,
                    row.sequence,
                    row.kind,
                    row.epoch,
                    plan.at_ms,
                    &row.chain[..],
                    row.key,
                    &row.payload[..],
                ))
                .map_err(failure)?;
        }
    }
    // When the disk fails in the midst of a commit, only what is read back afterwards tells what it holds.
    transaction
        .commit()
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::SystemIoFailure) => StoreError::InDoubt(error.to_string()),
            _ => failure(error),
        })
}

fn advance(
    connection: &Connection,
    texts: &Texts,
    moved: &Moved,
    id: Uuid,
) -> Result<(), StoreError> {
    let (before, after) = (&moved.before, &moved.after);
    let changed = connection
        .prepare_cached(&texts.advance)
        .and_then(|mut statement| {
            statement.execute((
                bound(after.position),
                &after.chain[..],
                &id.as_bytes()[..],
                before.shard.number,
                bound(before.epoch),
                bound(before.position),
            ))
        })
        .map_err(failure)?;
    match changed {
        0 => Err(StoreError::Fenced(before.shard)),
        _ => Ok(()),
    }
}

fn replace(
    connection: &Connection,
    texts: &Texts,
    replacement: &Replacement<'_>,
) -> Result<(), StoreError> {
    let address = (replacement.entity, replacement.target);
    let original = connection
        .prepare_cached(&texts.original)
        .and_then(|mut statement| {
            statement
                .query_row(address, |row| {
                    let first = chain::digest(row.get_ref(0)?.as_blob()?);
                    Ok(row.get::<_, Option<Digest>>(1)?.unwrap_or(first))
                })
                .optional()
        })
        .map_err(failure)?
        .ok_or_else(|| replacement.missing())?;
    connection
        .prepare_cached(&texts.replace)
        .and_then(|mut statement| {
            statement.execute((
                &original[..],
                replacement.payload,
                replacement.payload.len() <= ERASED_BYTES,
                replacement.entity,
                replacement.target,
            ))
        })
        .map_err(failure)?;
    Ok(())
}

impl LogAppender for SqliteAppender {
    fn heads(&self) -> Vec<Head> {
        self.heads.all()
    }

    fn take<'a>(&'a mut self, shards: &'a [ShardNumber]) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.take_now(shards) })
    }

    fn let_go(&mut self, shards: &[ShardNumber]) {
        self.heads.let_go(shards);
    }

    fn append<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Vec<Landed>> {
        Box::pin(async move { self.append_now(batch) })
    }

    fn settle<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Option<Vec<Landed>>> {
        Box::pin(async move { self.settle_now(batch) })
    }
}
