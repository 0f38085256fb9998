//! The ports: what the rest of the house may ask of a database.
//!
//! Two drivers implement them, SQLite and PostgreSQL; one conformance suite (`drivers/conformance.rs`) holds both to the same promises.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard, ShardNumber},
    chain::Digest,
    record::Kind,
    register::{Claim, Register},
};

/// A boxed future of a store operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What can go wrong below.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The owner's epoch is stale, or another owner holds the shard: nothing was written, and nothing ever will be under this epoch.
    #[error("shard {0} is fenced: another owner holds it")]
    Fenced(Shard),
    /// It is not known whether the append was committed. [`LogAppender::settle`] tells.
    #[error("append in doubt: {0}")]
    InDoubt(String),
    /// The database refused or failed; nothing was written.
    #[error("database: {0}")]
    Database(String),
    /// The database was written by a newer program, or is not a Playhouse database.
    #[error("{0}")]
    Incompatible(String),
    /// The data folder or the shards are held by another live process.
    #[error("{0}")]
    Locked(String),
    /// Stored bytes do not decode, or contradict the chain.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// A cursor is not where it was said to be: another reader of the same name has moved it. Nothing was written.
    #[error("another reader has moved the cursor of {0}")]
    Overtaken(&'static str),
}

impl StoreError {
    /// Whether the trouble is the database's, or somebody's who has it, and may be over when it is asked again: nothing is wrong with what is stored.
    pub fn is_passing(&self) -> bool {
        match self {
            StoreError::Fenced(_)
            | StoreError::InDoubt(_)
            | StoreError::Database(_)
            | StoreError::Locked(_)
            | StoreError::Overtaken(_) => true,
            StoreError::Incompatible(_) | StoreError::Damaged(_) => false,
        }
    }
}

/// A record on its way into the log. Position, epoch, time and chain are the writer's to give.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Who writes it.
    pub entity: Entity,
    /// The number within the entity. The store refuses a number that is already taken.
    pub sequence: Sequence,
    /// What it is, see [`crate::record`].
    pub kind: Kind,
    /// A name by which the record can be found again ([`LogStore::find`]), for example an event ID. Where several have the same, the first is
    /// found: no stranger can hinder a record by writing another under its key.
    pub key: Option<Arc<str>>,
    /// The encoded record.
    pub payload: Bytes,
}

/// Replaces the payload of a record (redaction, purge): the chain keeps the digest of what was there, the new payload's digest is chained by a
/// record of kind [`crate::record::ERASURE`] that the appender writes in the same transaction.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// Whose record.
    pub entity: Entity,
    /// Which record of that entity is replaced.
    pub target: Sequence,
    /// Further records of it that are replaced by the same: one note speaks of all.
    pub others: Vec<Sequence>,
    /// The number that the erasure's own record takes within the entity.
    pub note: Sequence,
    /// What stands there from now on. A record of which next to nothing is left ([`ERASED_BYTES`]) is not found by its key any more.
    pub payload: Bytes,
}

/// What is no longer than this is no record's content, but the mark that there was one.
pub const ERASED_BYTES: usize = 16;

impl Erasure {
    /// All records that are replaced.
    pub fn targets(&self) -> impl Iterator<Item = Sequence> {
        std::iter::once(self.target).chain(self.others.iter().copied())
    }
}

/// A record as stored. Nodes send it to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRecord {
    /// The shard.
    pub shard: Shard,
    /// Position in the shard.
    pub position: Position,
    /// Who wrote it.
    pub entity: Entity,
    /// The number within the entity.
    pub sequence: Sequence,
    /// What it is.
    pub kind: Kind,
    /// The name by which it is found.
    pub key: Option<Arc<str>>,
    /// The owner's epoch when it was written.
    pub epoch: u64,
    /// When it was written, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The encoded record, or what replaced it.
    pub payload: Bytes,
}

/// A record with the fields that only the chain needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainedRecord {
    /// The record.
    pub record: StoredRecord,
    /// The digest of the first payload, when it was erased since.
    pub erased: Option<Digest>,
    /// The chain value.
    pub chain: Digest,
}

/// The newest position of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The shard.
    pub shard: Shard,
    /// The newest position, 0 when the shard is empty.
    pub position: Position,
    /// The chain value at that position.
    pub chain: Digest,
    /// The epoch under which the shard is held.
    pub epoch: u64,
}

/// One batch: everything lands in one transaction, or nothing does.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Identifies the batch when its commit is in doubt.
    pub id: Uuid,
    /// Time of writing, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Records in order. They may belong to several shards of the appender.
    pub records: Vec<NewRecord>,
    /// Payloads to replace. A record of the same batch cannot be replaced by it.
    pub erasures: Vec<Erasure>,
}

/// Where a record of a batch landed; in the order of [`Batch::records`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The shard.
    pub shard: Shard,
    /// The position.
    pub position: Position,
}

/// The write side of some shards of one family. Owned by one writer thread.
///
/// It remembers each shard's head, so an append costs no read. It writes the shards that it has taken and no others.
pub trait LogAppender: Send {
    /// The shards it writes, with their heads. A shard that another owner has taken meanwhile stands here until it is taken back or let go.
    fn heads(&self) -> Vec<Head>;

    /// Takes shards, whoever holds them: each gets a new epoch, and from then on nothing of the owner before can land. Those that are held already are
    /// taken again. Shards that do not belong to this appender are refused, all of them then. Who may take what is for placement to say.
    fn take<'a>(&'a mut self, shards: &'a [ShardNumber]) -> StoreFuture<'a, ()>;

    /// Takes shards under epochs that a claim gives ([`crate::register::Claim`]): [`StoreError::Fenced`] for one of which the log has seen a later epoch, or that
    /// one from another appender. The others are held then. To be repeated when it is not known what became of it.
    fn take_under<'a>(&'a mut self, claims: &'a [Claim]) -> StoreFuture<'a, ()> {
        let one_owner = || StoreError::Incompatible("this database is for one node".into());
        Box::pin(async move { claims.first().map_or(Ok(()), |_| Err(one_owner())) })
    }

    /// Writes shards no more. Nothing is told to the database: the next owner takes them under an epoch of its own.
    fn let_go(&mut self, shards: &[ShardNumber]);

    /// Commits a batch durably (fsync) and tells where each record landed. Erasures add one record each, after the batch's records.
    fn append<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Vec<Landed>>;

    /// After [`StoreError::InDoubt`]: reconnects, re-reads the heads, and tells where the batch landed, or `None` when it never was committed.
    /// [`StoreError::Fenced`] when others have taken all its shards meanwhile: what became of it is not known then, but nothing of it comes any more.
    fn settle<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Option<Vec<Landed>>>;
}

/// A range of an entity's records.
#[derive(Clone, Copy, Debug)]
pub struct EntityRange {
    /// Lowest sequence wanted, inclusive.
    pub from: Sequence,
    /// Highest sequence wanted, inclusive.
    pub to: Sequence,
    /// Newest first instead of oldest first.
    pub backwards: bool,
    /// At most so many records.
    pub limit: usize,
}

/// The newest record of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityHead {
    /// The shard.
    pub shard: Shard,
    /// Position in the shard.
    pub position: Position,
    /// The number within the entity.
    pub sequence: Sequence,
}

/// What the records of an entity that are of one kind take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindSize {
    /// The kind.
    pub kind: Kind,
    /// So many records.
    pub records: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

/// An actor's state, written now and then so that waking up does not read the whole log. Never authoritative.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state includes all records up to this one.
    pub sequence: Sequence,
    /// The format of `payload`; a snapshot of another format is ignored.
    pub version: u32,
    /// The encoded state.
    pub payload: Bytes,
}

/// Connections to a database server which anybody on the node may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// So many may be in use at once.
    pub most: usize,
    /// So many are in use.
    pub busy: usize,
    /// So many are open and not in use.
    pub idle: usize,
}

/// The newest positions of a family's shards, as far as somebody tells.
#[derive(Debug)]
pub struct KnownHeads {
    /// Those that are told.
    pub heads: Vec<Head>,
    /// Shards of which nothing is told now: their database does not answer.
    pub silent: Vec<ShardNumber>,
    /// Why the first of them is silent.
    pub trouble: Option<StoreError>,
}

/// The read side, and what is neither record nor model. Shared by everybody on the node.
pub trait LogStore: Send + Sync + 'static {
    /// How many shards there are.
    fn layout(&self) -> Layout;

    /// How many appenders a family must have here at most; a shard belongs to appender `shard % count`.
    fn appenders(&self, family: Family) -> usize;

    /// Opens appender `index` of a family. It holds no shard yet: see [`LogAppender::take`].
    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>>;

    /// The newest position of every shard of a family.
    fn heads(&self, family: Family) -> StoreFuture<'_, Vec<Head>>;

    /// The same where a house lies in several databases of which one may be away: what the others tell. Fails only when none answers.
    fn known_heads(&self, family: Family) -> StoreFuture<'_, KnownHeads> {
        Box::pin(async move {
            Ok(KnownHeads {
                heads: self.heads(family).await?,
                silent: Vec::new(),
                trouble: None,
            })
        })
    }

    /// Records of one entity.
    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>>;

    /// Some records of one entity by sequence (ascending in the answer; missing ones are left out).
    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>>;

    /// What the records of an entity take, by kind: of those from one number to another, both inclusive.
    fn sizes<'a>(
        &'a self,
        entity: &'a Entity,
        (from, to): (Sequence, Sequence),
    ) -> StoreFuture<'a, Vec<KindSize>> {
        Box::pin(async move {
            let range = EntityRange {
                from,
                to,
                backwards: false,
                limit: usize::MAX,
            };
            let mut sizes = BTreeMap::<Kind, KindSize>::new();
            for record in self.read_entity(entity, range).await? {
                let kind = record.kind;
                let size = sizes.entry(kind).or_insert(KindSize {
                    kind,
                    records: 0,
                    bytes: 0,
                });
                size.records += 1;
                size.bytes += record.payload.len() as u64;
            }
            Ok(sizes.into_values().collect())
        })
    }

    /// The newest record of each entity, `None` for one that has none; in the order asked.
    fn entity_heads<'a>(
        &'a self,
        entities: &'a [Entity],
    ) -> StoreFuture<'a, Vec<Option<EntityHead>>>;

    /// The record of a family that carries this key; the newest of a shard, where there are several: an event that was known as an outlier is recorded once
    /// more when its place in the history becomes known.
    fn find<'a>(&'a self, family: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>>;

    /// What [`LogStore::find`] gives for each of some keys, in no order; keys that no record carries are left out.
    fn find_some(&self, family: Family, keys: Vec<String>) -> StoreFuture<'_, Vec<StoredRecord>> {
        Box::pin(async move {
            let mut found = Vec::new();
            for key in keys {
                found.extend(self.find(family, &key).await?);
            }
            Ok(found)
        })
    }

    /// Records of a shard after a position, oldest first.
    fn read_shard(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<StoredRecord>>;

    /// As [`LogStore::read_shard`], with what the chain check needs.
    fn read_chain(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<ChainedRecord>>;

    /// The newest snapshot of an entity.
    fn load_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, Option<Snapshot>>;

    /// Replaces the snapshot of an entity. An older one never replaces a newer one.
    fn save_snapshot<'a>(&'a self, entity: &'a Entity, snapshot: Snapshot) -> StoreFuture<'a, ()>;

    /// Drops the snapshot of an entity.
    fn drop_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, ()>;

    /// Sees to it that nothing is left on disk of what was erased from the log or deleted from what is derived of it, as far as the engine goes, and gives
    /// freed space back. Takes its time, and may be called while everything else goes on.
    fn scrub(&self) -> StoreFuture<'_, ()>;

    /// Gives all freed space back to the file system, whatever that takes. For a database that nobody else uses meanwhile.
    fn compact(&self) -> StoreFuture<'_, ()> {
        self.scrub()
    }

    /// Drops all snapshots.
    fn drop_snapshots(&self) -> StoreFuture<'_, ()>;

    /// The read models' database.
    fn models(&self) -> Arc<dyn ModelStore>;

    /// Who may write what, where there can be more than one node; `None` where there cannot.
    fn register(&self) -> Option<Arc<dyn Register>> {
        None
    }

    /// Opens what the first actors would wait for that begin here: connections, and what is always asked over them.
    fn warm(&self) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The connections to a database server, for the metrics; `None` where there is none.
    fn connections(&self) -> Option<Connections> {
        None
    }

    /// Bytes on disk, for the metrics; 0 where the driver cannot tell.
    fn size_bytes(&self) -> StoreFuture<'_, u64>;
}

/// A value in shared SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// BIGINT.
    Integer(i64),
    /// TEXT.
    Text(String),
    /// BYTEA or BLOB.
    Bytes(Bytes),
}

/// One row of an answer.
pub type Row = Vec<Value>;

/// A statement in shared SQL (see the rules in `models/mod.rs`) and its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, the same for both engines.
    pub sql: &'static str,
    /// `$1`, `$2`, …
    pub values: Vec<Value>,
}

/// How far a fold has read: one position per shard of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorAdvance {
    /// Which fold; a model's table name.
    pub name: &'static str,
    /// The shard.
    pub shard: Shard,
    /// Where it must stand now, 0 for nowhere yet; else all that comes with it is refused with [`StoreError::Overtaken`]. `None`: wherever it stands.
    pub from: Option<Position>,
    /// Everything up to this position is folded.
    pub position: Position,
}

/// The database of the read models: folds of the log that can be dropped and rebuilt.
pub trait ModelStore: Send + Sync + 'static {
    /// Creates what is missing: runs the statements (`CREATE TABLE IF NOT EXISTS …`) of a model.
    fn create<'a>(&'a self, statements: &'a [&'static str]) -> StoreFuture<'a, ()>;

    /// Applies statements in order and moves cursors, in one transaction. [`StoreError::Overtaken`] when a cursor is not where it is said to be.
    fn apply<'a>(
        &'a self,
        statements: Vec<Statement>,
        cursors: Vec<CursorAdvance>,
    ) -> StoreFuture<'a, ()>;

    /// Reads.
    fn query<'a>(&'a self, statement: Statement) -> StoreFuture<'a, Vec<Row>>;

    /// The positions that a fold has reached, by shard number; a shard that is absent stands at 0.
    fn cursors<'a>(
        &'a self,
        name: &'a str,
        family: Family,
    ) -> StoreFuture<'a, Vec<(ShardNumber, Position)>>;

    /// Drops a model: its table, further ones of it, and its cursors.
    fn drop_model<'a>(
        &'a self,
        table: &'static str,
        further: &'static [&'static str],
    ) -> StoreFuture<'a, ()>;
}
