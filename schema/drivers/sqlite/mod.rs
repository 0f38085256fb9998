//! SQLite: a data folder for one process.
//!
//! `log/FAMILY-N.db` hold the log (every commit is fsynced, deleted text is overwritten), `snapshots.db` and `models.db` what can be made again from it, `lock`
//! keeps a second process out. Each log file has one writing connection, the appender's; readers have a few connections of their own, made on demand.
//! Calls are short and block where they are made; what takes long goes to tokio's blocking threads, and so does what would wait for it.

mod append;
mod checkpoints;
mod files;
mod hold;
mod models;
mod read;
mod readers;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;

pub(crate) use self::hold::SqliteHold;
use self::{
    append::SqliteAppender,
    checkpoints::{Checkpoints, WriteAhead},
    files::{Facts, FolderLock, Purpose, Writer},
    models::SqliteModels,
    readers::Readers,
};
use super::{plan::bound, texts::texts};
use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard},
    ground::{self, Scope},
    port::{
        ChainedRecord, EntityHead, EntityRange, Head, KindSize, LogAppender, LogStore, ModelStore,
        Snapshot, StoreError, StoreFuture, StoredRecord,
    },
};

/// Reads of a shard from this many records on do not block the caller's thread.
const LONG_READ: usize = 1_000;

/// A snapshot of so many bytes does not, either, when it is saved.
const LONG_SNAPSHOT: usize = 64 << 10;

/// How a file is opened, by what it is for and what is known of it.
type Opening = fn(&Path, Purpose, Facts) -> Result<(Connection, Facts), StoreError>;

/// An opened data folder.
pub(crate) struct SqliteStore {
    inner: Arc<Inner>,
}

/// What the appenders share with the store.
struct Inner {
    folder: PathBuf,
    layout: Layout,
    writers: usize,
    /// What the folder said of itself when it was opened.
    is_unfinished: bool,
    /// By family and file number.
    logs: [Vec<Readers>; 3],
    /// Their write-ahead logs, and who moves them into the files.
    ahead: [Vec<Arc<WriteAhead>>; 3],
    checkpoints: Checkpoints,
    snapshots: Writer,
    snapshot_readers: Readers,
    models: Arc<SqliteModels>,
    /// None for one that is only read.
    _lock: Option<FolderLock>,
}

impl SqliteStore {
    /// Opens or makes a data folder.
    pub(crate) fn open(folder: &Path, writers: usize, layout: Layout) -> Result<Self, StoreError> {
        let wanted = Facts {
            layout,
            writers: super::writers_within(writers, layout),
            is_unfinished: false,
        };
        let store = Self::open_as(folder, wanted)?;
        if store.inner.is_unfinished {
            return Err(ground::unfinished());
        }
        if store.inner.writers != wanted.writers {
            tracing::warn!(
                configured = wanted.writers,
                used = store.inner.writers,
                "the number of writers is fixed when the data folder is made"
            );
        }
        Ok(store)
    }

    /// The same, whether or not the folder is complete. A new one says of itself what is wanted.
    fn open_as(folder: &Path, wanted: Facts) -> Result<Self, StoreError> {
        files::make_folder(folder)?;
        files::make_folder(&folder.join("log"))?;
        let lock = FolderLock::take(folder)?;
        Self::assemble(folder, wanted, Some(lock), files::prepare)
    }

    /// Opens a folder that another process may be using, to read it. Nothing is made or brought up to date.
    pub(crate) fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        // What is there says what it is.
        let wanted = Facts {
            layout: Layout::default(),
            writers: 1,
            is_unfinished: false,
        };
        let store = Self::assemble(folder, wanted, None, files::look)?;
        if store.inner.is_unfinished {
            return Err(ground::unfinished());
        }
        Ok(store)
    }

    fn assemble(
        folder: &Path,
        wanted: Facts,
        lock: Option<FolderLock>,
        open: Opening,
    ) -> Result<Self, StoreError> {
        // The first file dictates: a folder whose making was interrupted is completed as it was begun.
        let path = log_path(folder, Family::Rooms, 0);
        let (connection, facts) = open(&path, Purpose::log(Family::Rooms, 0), wanted)?;
        let mut logs = [
            vec![Readers::with_first(path, connection)?],
            Vec::new(),
            Vec::new(),
        ];
        for (family, readers) in Family::ALL.into_iter().zip(&mut logs) {
            for index in readers.len()..facts.writers {
                let path = log_path(folder, family, index);
                let (connection, _) = open(&path, Purpose::log(family, index), facts)?;
                readers.push(Readers::with_first(path, connection)?);
            }
        }
        let ahead = logs.each_ref().map(|files| {
            let files = files.iter();
            files.map(|file| WriteAhead::new(file.path())).collect()
        });
        let snapshots = folder.join("snapshots.db");
        let models = folder.join("models.db");
        let derived = |path, scope| open(path, Purpose::derived(scope), facts);
        let (snapshot_writer, _) = derived(&snapshots, Scope::Snapshots)?;
        let (model_writer, _) = derived(&models, Scope::Models)?;
        Ok(Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                layout: facts.layout,
                writers: facts.writers,
                is_unfinished: facts.is_unfinished,
                checkpoints: Checkpoints::new(ahead.iter().map(Vec::len).sum()),
                logs,
                ahead,
                snapshots: Writer::new(snapshot_writer)?,
                snapshot_readers: Readers::new(snapshots),
                models: Arc::new(SqliteModels::new(&models, model_writer)?),
                _lock: lock,
            }),
        })
    }
}

fn rank(family: Family) -> usize {
    match family {
        Family::Rooms => 0,
        Family::Users => 1,
        Family::Servers => 2,
    }
}

fn log_path(folder: &Path, family: Family, index: usize) -> PathBuf {
    folder.join("log").join(format!("{family}-{index}.db"))
}

impl Inner {
    fn files_of(&self, family: Family) -> &[Readers] {
        &self.logs[rank(family)]
    }

    fn log_of(&self, family: Family, index: usize) -> &Arc<WriteAhead> {
        &self.ahead[rank(family)][index]
    }

    /// A connection that writes a file of the log.
    fn connect_writer(&self, family: Family, index: usize) -> Result<Connection, StoreError> {
        let log = self.log_of(family, index);
        let mut connection = files::connect_writer(self.files_of(family)[index].path())?;
        self.checkpoints.watch(&mut connection, log)?;
        Ok(connection)
    }

    /// The files of the log with their write-ahead logs.
    fn all_logs(&self) -> impl Iterator<Item = (&Readers, &Arc<WriteAhead>)> {
        let files = self.logs.iter().flatten();
        files.zip(self.ahead.iter().flatten())
    }

    fn file_of(&self, shard: Shard) -> &Readers {
        &self.files_of(shard.family)[usize::from(shard.number) % self.writers]
    }

    fn file_of_entity(&self, entity: &Entity) -> &Readers {
        self.file_of(self.layout.shard_of(entity))
    }

    fn heads(&self, family: Family) -> Result<Vec<Head>, StoreError> {
        let mut heads = Vec::with_capacity(usize::from(self.layout.shards));
        for file in self.files_of(family) {
            let stored = file.with(|connection| read::heads(connection, family))?;
            heads.extend(stored.into_iter().map(|stored| stored.head));
        }
        heads.sort_by_key(|head| head.shard.number);
        Ok(heads)
    }

    fn find(&self, family: Family, key: &str) -> Result<Option<StoredRecord>, StoreError> {
        for file in self.files_of(family) {
            let found = file.with(|connection| read::find(connection, family, key))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_some(
        &self,
        family: Family,
        keys: Vec<String>,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        let (mut found, mut left) = (Vec::new(), keys);
        for file in self.files_of(family) {
            left = file.with(|connection| {
                let mut elsewhere = Vec::new();
                for key in left {
                    match read::find(connection, family, &key)? {
                        Some(record) => found.push(record),
                        None => elsewhere.push(key),
                    }
                }
                Ok(elsewhere)
            })?;
        }
        Ok(found)
    }

    /// Log files hold nothing that was erased, but their write-ahead logs may, when a reader was in the way. The derived files are written anew: rows of theirs
    /// are put between others, and what moves on a page leaves remains.
    fn scrub(&self) -> Result<(), StoreError> {
        for (file, log) in self.all_logs() {
            let _moving = log.hold();
            file.with(files::empty_wal)?;
            // The space is not missing to anybody who reads or writes.
            if let Err(error) = files::shrink(file.path()) {
                tracing::info!(%error, "space that was freed in the log is kept for now");
            }
        }
        files::write_anew(&self.snapshots.lock())?;
        self.models.write_anew()
    }

    /// Writes all files anew.
    fn compact(&self) -> Result<(), StoreError> {
        for (file, log) in self.all_logs() {
            let _moving = log.hold();
            files::write_anew(&files::connect_writer(file.path())?)?;
        }
        files::write_anew(&self.snapshots.lock())?;
        self.models.write_anew()
    }

    fn size_bytes(&self) -> u64 {
        let in_folder = |folder: &Path| {
            fs::read_dir(folder).map_or(0, |entries| {
                entries
                    .flatten()
                    .filter_map(|entry| entry.metadata().ok())
                    .filter(|metadata| metadata.is_file())
                    .map(|metadata| metadata.len())
                    .sum::<u64>()
            })
        };
        in_folder(&self.folder) + in_folder(&self.folder.join("log"))
    }
}

/// Works with a file here, or on a blocking thread when it takes long and there is one.
async fn run<F: Send + Sync + 'static, T: Send + 'static>(
    file: Arc<F>,
    long: bool,
    work: impl FnOnce(&F) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    if !long || tokio::runtime::Handle::try_current().is_err() {
        return work(&file);
    }
    tokio::task::spawn_blocking(move || work(&file))
        .await
        .map_err(|error| StoreError::Database(error.to_string()))?
}

impl LogStore for SqliteStore {
    fn layout(&self) -> Layout {
        self.inner.layout
    }

    fn appenders(&self, _family: Family) -> usize {
        self.inner.writers
    }

    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        Box::pin(async move {
            let appender = SqliteAppender::open(Arc::clone(&self.inner), family, index)?;
            Ok(Box::new(appender) as Box<dyn LogAppender>)
        })
    }

    fn heads(&self, family: Family) -> StoreFuture<'_, Vec<Head>> {
        Box::pin(async move { self.inner.heads(family) })
    }

    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        let entity = entity.clone();
        Box::pin(run(
            Arc::clone(&self.inner),
            range.limit >= LONG_READ,
            move |inner| {
                inner
                    .file_of_entity(&entity)
                    .with(|connection| read::entity(connection, &entity, range))
            },
        ))
    }

    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        Box::pin(async move {
            self.inner
                .file_of_entity(entity)
                .with(|connection| read::some(connection, entity, sequences))
        })
    }

    fn sizes<'a>(
        &'a self,
        entity: &'a Entity,
        range: (Sequence, Sequence),
    ) -> StoreFuture<'a, Vec<KindSize>> {
        let entity = entity.clone();
        Box::pin(run(Arc::clone(&self.inner), true, move |inner| {
            inner
                .file_of_entity(&entity)
                .with(|connection| read::sizes(connection, &entity, range))
        }))
    }

    fn entity_heads<'a>(
        &'a self,
        entities: &'a [Entity],
    ) -> StoreFuture<'a, Vec<Option<EntityHead>>> {
        Box::pin(async move {
            let head_of = |entity: &Entity| {
                self.inner
                    .file_of_entity(entity)
                    .with(|connection| read::entity_head(connection, entity))
            };
            entities.iter().map(head_of).collect()
        })
    }

    fn find<'a>(&'a self, family: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async move { self.inner.find(family, key) })
    }

    fn find_some(&self, family: Family, keys: Vec<String>) -> StoreFuture<'_, Vec<StoredRecord>> {
        let find = move |inner: &Inner| inner.find_some(family, keys);
        Box::pin(run(Arc::clone(&self.inner), true, find))
    }

    fn read_shard(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<StoredRecord>> {
        Box::pin(run(
            Arc::clone(&self.inner),
            limit >= LONG_READ,
            move |inner| {
                inner
                    .file_of(shard)
                    .with(|connection| read::shard(connection, shard, after, limit))
            },
        ))
    }

    fn read_chain(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<ChainedRecord>> {
        Box::pin(run(
            Arc::clone(&self.inner),
            limit >= LONG_READ,
            move |inner| {
                inner
                    .file_of(shard)
                    .with(|connection| read::chain(connection, shard, after, limit))
            },
        ))
    }

    fn load_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            self.inner
                .snapshot_readers
                .with(|connection| read::snapshot(connection, entity))
        })
    }

    fn save_snapshot<'a>(&'a self, entity: &'a Entity, snapshot: Snapshot) -> StoreFuture<'a, ()> {
        let entity = entity.clone();
        let long = snapshot.payload.len() >= LONG_SNAPSHOT || self.inner.snapshots.is_busy();
        Box::pin(run(Arc::clone(&self.inner), long, move |inner| {
            let connection = inner.snapshots.lock();
            let sql = &texts(entity.family()).snapshot_save;
            connection
                .prepare_cached(sql)
                .and_then(|mut statement| {
                    statement.execute((
                        entity.as_str(),
                        bound(snapshot.sequence),
                        snapshot.version,
                        &snapshot.payload[..],
                    ))
                })
                .map_err(files::failure)?;
            Ok(())
        }))
    }

    fn drop_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let connection = self.inner.snapshots.lock();
            connection
                .execute(&texts(entity.family()).snapshot_drop, [entity.as_str()])
                .map_err(files::failure)?;
            Ok(())
        })
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(run(Arc::clone(&self.inner), true, Inner::scrub))
    }

    fn compact(&self) -> StoreFuture<'_, ()> {
        Box::pin(run(Arc::clone(&self.inner), true, Inner::compact))
    }

    fn drop_snapshots(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let connection = self.inner.snapshots.lock();
            for family in Family::ALL {
                connection
                    .execute(&texts(family).snapshots_drop, ())
                    .map_err(files::failure)?;
            }
            Ok(())
        })
    }

    fn models(&self) -> Arc<dyn ModelStore> {
        Arc::clone(&self.inner.models) as Arc<dyn ModelStore>
    }

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.inner.size_bytes()) })
    }
}
