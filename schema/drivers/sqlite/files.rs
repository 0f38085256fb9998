//! Files and their connections: settings, tables, the folder's lock.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::{
    address::{Family, Layout, ShardNumber},
    chain::GENESIS,
    ground::{self, Dialect, META, STEPS, Scope, meta},
    port::StoreError,
};

/// How long a connection waits for another one's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages in the write-ahead log before a commit moves them into the file, where nobody does it beside the writer: some 4 MiB for each file that is written.
const CHECKPOINT_PAGES: u32 = 1_000;

/// A write-ahead log that had to grow, because a reader was in the way, is cut back to so many bytes.
const WAL_BYTES_KEPT: u32 = 4 << 20;

/// Prepared statements kept by a connection.
const STATEMENTS_KEPT: usize = 64;

/// Says what SQLite said. Never holds values, only SQLite's own words.
pub(super) fn failure(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            StoreError::Incompatible("a file of the data folder is not a Playhouse database".into())
        }
        // A file that is corrupt is no fault of one record: nothing in it can be relied on.
        _ => StoreError::Database(error.to_string()),
    }
}

fn file_failure(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Database(format!("{}: {error}", path.display()))
}

/// Makes a folder and sees to it that it is still there after a power cut.
pub(super) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(|error| file_failure(folder, &error))?;
    match folder.parent() {
        Some(parent) if parent.is_dir() => sync_folder(parent),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| file_failure(folder, &error))
}

/// The right to use a data folder. Ends with the process, however that ends.
pub(super) struct FolderLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl FolderLock {
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| file_failure(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(format!(
                "data folder {} is in use by another process",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(file_failure(&path, &error)),
        }
    }
}

/// What a data folder is fixed to when it is made.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) layout: Layout,
    pub(super) writers: usize,
    /// A migration fills the folder and has not brought everything.
    pub(super) is_unfinished: bool,
}

/// What a file is for.
#[derive(Clone, Copy)]
pub(super) struct Purpose {
    scope: Scope,
    /// The family and file number of a log.
    log: Option<(Family, usize)>,
}

impl Purpose {
    pub(super) fn log(family: Family, index: usize) -> Self {
        Self {
            scope: Scope::Log,
            log: Some((family, index)),
        }
    }

    pub(super) fn derived(scope: Scope) -> Self {
        Self { scope, log: None }
    }

    /// The first file speaks for the folder.
    fn is_first(self) -> bool {
        self.log == Some((Family::Rooms, 0))
    }

    /// The texts of a step for this file.
    fn fill(self, text: &str) -> String {
        match self.log {
            Some((family, _)) => Dialect::Sqlite.fill_for(text, family),
            None if text.contains("{{family}}") => Family::ALL
                .map(|family| Dialect::Sqlite.fill_for(text, family))
                .concat(),
            None => Dialect::Sqlite.fill(text),
        }
    }
}

/// Opens a connection with the settings that all of them share.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failure)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failure)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection
        .execute_batch("PRAGMA cache_size = -2000; PRAGMA temp_store = MEMORY;")
        .map_err(failure)?;
    Ok(connection)
}

/// Opens a connection that writes: every commit is on disk when it returns, and what is deleted is overwritten.
pub(super) fn connect_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
             PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = {WAL_BYTES_KEPT};"
        ))
        .map_err(failure)?;
    Ok(connection)
}

/// Moves the write-ahead log into the file and cuts it to nothing.
pub(super) fn empty_wal(connection: &Connection) -> Result<(), StoreError> {
    let busy = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
            row.get::<_, i64>(0)
        })
        .map_err(failure)?;
    match busy {
        0 => Ok(()),
        _ => Err(StoreError::Database(
            "a reader keeps the write-ahead log from being emptied".into(),
        )),
    }
}

/// Writes a file of derived tables anew: only what is in the tables is in the file afterwards. The copy on the way there may be larger than memory.
pub(super) fn write_anew(connection: &Connection) -> Result<(), StoreError> {
    connection
        .execute_batch("PRAGMA temp_store = FILE; VACUUM; PRAGMA temp_store = MEMORY;")
        .map_err(failure)?;
    empty_wal(connection)
}

/// A log file is written anew beside its writer when at least this much, and this share of it (one part in so many), holds nothing …
const SHRUNK_FROM: (u64, u64) = (256 << 10, 5);

/// … and no more than this is left: the writer, and with it everybody who sends something, waits as long as that takes.
const SHRUNK_BYTES_MAX: u64 = 16 << 20;

/// More than this is not looked through: a reader that takes its time keeps the writer from emptying the write-ahead log after an erasure.
const LOOKED_BYTES_MAX: u64 = 64 << 20;

/// What was replaced leaves holes in a log file. Gives them back where that is worth the while; for larger files that is an operator's to do
/// (`playhouse log compact`), while nobody writes.
pub(super) fn shrink(path: &Path) -> Result<(), StoreError> {
    shrink_within(path, (LOOKED_BYTES_MAX, SHRUNK_BYTES_MAX))
}

/// The same, if no more than so much has to be looked through, and no more than so much to be written.
fn shrink_within(path: &Path, (looked_max, left_max): (u64, u64)) -> Result<(), StoreError> {
    let connection = connect_writer(path)?;
    let count = |sql: &str| {
        let count = connection.query_row(sql, (), |row| row.get::<_, Option<i64>>(0));
        count
            .map(|count| u64::try_from(count.unwrap_or(0)).unwrap_or(0))
            .map_err(failure)
    };
    let page = count("PRAGMA page_size")?;
    let all = count("PRAGMA page_count")? * page;
    let unused = count("PRAGMA freelist_count")? * page;
    // Free pages cost neither looking nor writing.
    if all < SHRUNK_FROM.0 || all.saturating_sub(unused) > looked_max {
        return Ok(());
    }
    let free = unused + count("SELECT sum(unused) FROM dbstat")?;
    let is_worth_it = free >= SHRUNK_FROM.0 && free >= all / SHRUNK_FROM.1;
    if !is_worth_it || all.saturating_sub(free) > left_max {
        return Ok(());
    }
    write_anew(&connection)
}

/// Makes a file or brings it up to date. Returns what it was fixed to when it was made, and a connection: closing it would cost a checkpoint.
pub(super) fn prepare(
    path: &Path,
    purpose: Purpose,
    wanted: Facts,
) -> Result<(Connection, Facts), StoreError> {
    let is_new = !path.exists();
    let mut connection = connect_writer(path)?;
    let (version, facts) = match read_meta(&connection, path)? {
        Some(found) => found,
        None => (0, wanted),
    };
    if version < ground::VERSION {
        update(&mut connection, purpose, version, facts)?;
    }
    if is_new && let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok((connection, facts))
}

/// Opens a file that another process may be using. Nothing of it is made or changed.
pub(super) fn look(
    path: &Path,
    _purpose: Purpose,
    _wanted: Facts,
) -> Result<(Connection, Facts), StoreError> {
    let refuse = |why: &str| {
        let path = path.display();
        Err(StoreError::Incompatible(format!("{path} {why}")))
    };
    if !path.exists() {
        return refuse("is not there");
    }
    let connection = connect_writer(path)?;
    match read_meta(&connection, path)? {
        Some((ground::VERSION, facts)) => Ok((connection, facts)),
        _ => refuse("is of another version of this program: start the server with this one first"),
    }
}

/// What a file says about itself; `None` when it is empty.
fn read_meta(connection: &Connection, path: &Path) -> Result<Option<(i64, Facts)>, StoreError> {
    let foreign =
        || StoreError::Incompatible(format!("{} is not a Playhouse database", path.display()));
    let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    if count("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").map_err(failure)? == 0 {
        let tables = count("SELECT count(*) FROM sqlite_master").map_err(failure)?;
        return if tables == 0 {
            Ok(None)
        } else {
            Err(foreign())
        };
    }
    let value = |name: &str| {
        connection
            .query_row("SELECT value FROM meta WHERE name = $1", [name], |row| {
                row.get::<_, i64>(0)
            })
            .optional()
            .map_err(failure)
    };
    let read = |name: &str| value(name)?.ok_or_else(foreign);
    let version = read(meta::VERSION)?;
    ground::check_version(version, read(meta::OLDEST)?)?;
    let shards = ShardNumber::try_from(read(meta::SHARDS)?).map_err(|_| foreign())?;
    let writers = usize::try_from(read(meta::WRITERS)?).map_err(|_| foreign())?;
    let era = u32::try_from(value(meta::ERA)?.unwrap_or(0)).map_err(|_| foreign())?;
    if shards == 0 || shards > Layout::SHARDS_MAX || writers == 0 {
        return Err(foreign());
    }
    Ok(Some((
        version,
        Facts {
            layout: Layout { shards, era },
            writers,
            is_unfinished: value(meta::UNFINISHED)?.is_some_and(|value| value != 0),
        },
    )))
}

/// Runs the steps that a file lacks. Those of other files count as done.
fn update(
    connection: &mut Connection,
    purpose: Purpose,
    version: i64,
    facts: Facts,
) -> Result<(), StoreError> {
    for step in STEPS.iter().filter(|step| step.number > version) {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        transaction
            .execute_batch(&Dialect::Sqlite.fill(META))
            .map_err(failure)?;
        if step.scope == purpose.scope {
            transaction
                .execute_batch(&purpose.fill(step.shared))
                .map_err(failure)?;
        }
        if step.number == 1
            && let Some((family, index)) = purpose.log
        {
            fill_heads(&transaction, family, index, facts).map_err(failure)?;
        }
        let values = [
            (meta::VERSION, step.number),
            (meta::OLDEST, ground::OLDEST),
            (meta::SHARDS, i64::from(facts.layout.shards)),
            (meta::WRITERS, facts.writers as i64),
        ];
        for value in values {
            set_meta(&transaction, value)?;
        }
        if facts.layout.era > 0 {
            set_meta(&transaction, (meta::ERA, i64::from(facts.layout.era)))?;
        }
        if purpose.is_first() && facts.is_unfinished {
            set_meta(&transaction, (meta::UNFINISHED, 1))?;
        }
        transaction.commit().map_err(failure)?;
    }
    Ok(())
}

/// Says a number about a file.
pub(super) fn set_meta(connection: &Connection, value: (&str, i64)) -> Result<(), StoreError> {
    connection
        .execute(
            "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            value,
        )
        .map_err(failure)?;
    Ok(())
}

fn fill_heads(
    connection: &Connection,
    family: Family,
    index: usize,
    facts: Facts,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare(&format!(
        "INSERT INTO shard_{family} (shard, owner, epoch, head, chain, batch) VALUES ($1, '', 0, 0, $2, $3) ON CONFLICT (shard) DO NOTHING"
    ))?;
    for shard in (0..facts.layout.shards).skip(index).step_by(facts.writers) {
        insert.execute((shard, &GENESIS[..], &[0_u8; 16][..]))?;
    }
    Ok(())
}

/// The one connection that writes a file of derived tables. A power cut may take its last commits, and they can be made again.
pub(super) struct Writer(Mutex<Connection>);

impl Writer {
    pub(super) fn new(connection: Connection) -> Result<Self, StoreError> {
        connection
            .execute_batch("PRAGMA synchronous = NORMAL")
            .map_err(failure)?;
        Ok(Self(Mutex::new(connection)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock()
    }

    /// Whether somebody writes just now: who locks it would wait.
    pub(super) fn is_busy(&self) -> bool {
        self.0.is_locked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_keep_the_writer_waiting_is_not_shrunk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let writer = connect_writer(&path).unwrap();
        writer
            .execute_batch("CREATE TABLE log (place BIGINT PRIMARY KEY, payload BLOB NOT NULL)")
            .unwrap();
        for place in 0_i64..64 {
            let insert = "INSERT INTO log VALUES ($1, zeroblob(16384))";
            writer.execute(insert, [place]).unwrap();
        }
        writer
            .execute("UPDATE log SET payload = x'00' WHERE place >= 16", ())
            .unwrap();
        let size = || {
            empty_wal(&writer).unwrap();
            fs::metadata(&path).unwrap().len()
        };
        let full = size();
        assert!(full > 64 * 16_384);
        // A quarter of a mebibyte is left.
        for too_much in [(100 << 10, u64::MAX), (u64::MAX, 100 << 10)] {
            shrink_within(&path, too_much).unwrap();
            assert_eq!(size(), full);
        }
        shrink_within(&path, (1 << 20, 1 << 20)).unwrap();
        assert!(size() < full / 2);
        let count = "SELECT count(*) FROM log WHERE length(payload) = 16384";
        let kept = writer.query_row(count, (), |row| row.get::<_, i64>(0));
        assert_eq!(kept.unwrap(), 16);
    }
}
