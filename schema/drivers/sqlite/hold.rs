//! A data folder that a migration has for itself.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::Path,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::{
    super::{
        plan::{bound, check_put},
        texts::texts,
        writers_within,
    },
    SqliteStore,
    files::{Facts, connect_writer, empty_wal, failure, set_meta},
    log_path, read,
};
use crate::{
    address::{Entity, Family, Layout, Place, Position, Shard},
    ground::{self, meta},
    migrate::port::{HeldStore, Put, Side},
    port::{LogStore, Snapshot, StoreError, StoreFuture},
    record::Kind,
};

/// An entity's first record brings its name.
const FIRST: u64 = 1;

/// The statements of a family.
struct Texts {
    name: String,
    insert: String,
}

static TEXTS: LazyLock<[Texts; 3]> = LazyLock::new(|| Family::ALL.map(Texts::new));

fn put_texts(family: Family) -> &'static Texts {
    match family {
        Family::Rooms => &TEXTS[0],
        Family::Users => &TEXTS[1],
        Family::Servers => &TEXTS[2],
    }
}

impl Texts {
    fn new(family: Family) -> Self {
        Self {
            name: format!(
                "INSERT INTO entity_{family} (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
            ),
            insert: format!(
                "INSERT INTO log_{family} (place, entity, sequence, kind, epoch, at_ms, chain, erased, key, payload) \
                 VALUES ($1, (SELECT id FROM entity_{family} WHERE name = $2), $3, $4, $5, $6, $7, $8, $9, $10)"
            ),
        }
    }
}

/// The folder's lock keeps everybody else out.
pub(crate) struct SqliteHold {
    store: Arc<SqliteStore>,
    /// The connections that write the log, by family and file number; made on demand.
    writers: Mutex<BTreeMap<(Family, usize), Connection>>,
}

impl SqliteHold {
    /// Opens the folder, or makes it.
    pub(crate) fn open(folder: &Path, writers: usize, side: Side) -> Result<Self, StoreError> {
        let first = log_path(folder, Family::Rooms, 0);
        let wanted = match side {
            Side::From | Side::Backup if !first.exists() => {
                return Err(StoreError::Incompatible(format!(
                    "there is no Playhouse database in {}",
                    folder.display()
                )));
            }
            // It is there, so nothing is made by what is wanted.
            Side::From | Side::Backup => Facts {
                layout: Layout::default(),
                writers,
                is_unfinished: false,
            },
            Side::To(layout) => Facts {
                layout,
                writers: writers_within(writers, layout),
                is_unfinished: true,
            },
        };
        let store = SqliteStore::open_as(folder, wanted)?;
        if side == Side::From && store.inner.is_unfinished {
            return Err(ground::unfinished());
        }
        Ok(Self {
            store: Arc::new(store),
            writers: Mutex::default(),
        })
    }

    /// Works with the connection that writes a log file.
    fn with_writer<T>(
        &self,
        family: Family,
        index: usize,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writers = self.writers.lock();
        let connection = match writers.entry((family, index)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(missing) => {
                let path = log_path(&self.store.inner.folder, family, index);
                missing.insert(connect_writer(&path)?)
            }
        };
        work(connection)
    }

    /// What the first file says: it speaks for the folder.
    fn say_unfinished(&self, is_unfinished: bool) -> Result<(), StoreError> {
        self.with_writer(Family::Rooms, 0, |connection| {
            set_meta(connection, (meta::UNFINISHED, i64::from(is_unfinished)))
        })
    }

    fn read_unfinished(&self) -> Result<bool, StoreError> {
        self.with_writer(Family::Rooms, 0, |connection| {
            let value: Option<i64> = connection
                .query_row(
                    "SELECT value FROM meta WHERE name = $1",
                    [meta::UNFINISHED],
                    |row| row.get(0),
                )
                .optional()
                .map_err(failure)?;
            Ok(value.is_some_and(|value| value != 0))
        })
    }

    /// The derived files' last commits are not on disk for certain, and a reader's position in them is more than a fold of the log.
    fn complete_now(&self) -> Result<(), StoreError> {
        let inner = &self.store.inner;
        empty_wal(&inner.snapshots.lock())?;
        inner.models.settle()?;
        self.say_unfinished(false)
    }

    fn put_now(&self, put: Put<'_>) -> Result<(), StoreError> {
        check_put(&put)?;
        let shard = put.before.shard;
        let index = usize::from(shard.number) % self.store.inner.writers;
        self.with_writer(shard.family, index, |connection| {
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(failure)?;
            advance(&transaction, &put)?;
            insert(&transaction, &put)?;
            transaction.commit().map_err(failure)
        })
    }
}

fn advance(connection: &Connection, put: &Put<'_>) -> Result<(), StoreError> {
    let (before, after) = (&put.before, &put.after);
    let changed = connection
        .prepare_cached(&texts(before.shard.family).advance)
        .and_then(|mut statement| {
            statement.execute((
                bound(after.position),
                &after.chain[..],
                bound(after.epoch),
                before.shard.number,
                bound(before.position),
                &before.chain[..],
            ))
        })
        .map_err(failure)?;
    match changed {
        0 => Err(StoreError::Fenced(before.shard)),
        _ => Ok(()),
    }
}

fn insert(connection: &Connection, put: &Put<'_>) -> Result<(), StoreError> {
    let texts = put_texts(put.before.shard.family);
    let mut name = connection.prepare_cached(&texts.name).map_err(failure)?;
    let mut insert = connection.prepare_cached(&texts.insert).map_err(failure)?;
    for chained in put.records {
        let record = &chained.record;
        if record.sequence == FIRST {
            name.execute([record.entity.as_str()]).map_err(failure)?;
        }
        insert
            .execute((
                Place::new(record.shard.number, record.position).column(),
                record.entity.as_str(),
                bound(record.sequence),
                record.kind,
                bound(record.epoch),
                bound(record.at_ms),
                &chained.chain[..],
                chained.erased.as_ref().map(|digest| &digest[..]),
                record.key.as_deref(),
                &record.payload[..],
            ))
            .map_err(failure)?;
    }
    Ok(())
}

impl HeldStore for SqliteHold {
    fn log(&self) -> Arc<dyn LogStore> {
        Arc::clone(&self.store) as Arc<dyn LogStore>
    }

    fn is_unfinished(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move { self.read_unfinished() })
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.say_unfinished(true) })
    }

    fn complete(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move { self.complete_now() })
    }

    fn check_hold(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn put<'a>(&'a self, put: Put<'a>) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.put_now(put) })
    }

    fn snapshots<'a>(
        &'a self,
        family: Family,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Entity, Snapshot)>> {
        Box::pin(async move {
            self.store
                .inner
                .snapshot_readers
                .with(|connection| read::snapshots(connection, family, (after, limit)))
        })
    }

    fn count_kinds(
        &self,
        shard: Shard,
        after: Position,
        to: Position,
    ) -> StoreFuture<'_, Vec<(Kind, u64)>> {
        Box::pin(async move {
            let (from, to) = (
                Place::new(shard.number, after).column(),
                Place::new(shard.number, to).column(),
            );
            self.store.inner.file_of(shard).with(|connection| {
                let sql = &texts(shard.family).count_kinds;
                read::collect(connection, sql, (from, to), |row| {
                    let kind = row.get::<_, Kind>(0).map_err(failure)?;
                    Ok((kind, read::number(row, 1)?))
                })
            })
        })
    }
}
