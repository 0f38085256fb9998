//! Moving the write-ahead logs into their files beside those who write: a commit that did it itself would take ten times as long as others, and everybody whose
//! message is in it would wait.
//!
//! The disk has to do it all the same, and lets others wait meanwhile. So it is done when nobody writes; if somebody always does, seldom and much at a time:
//! a page that was written a hundred times is moved once.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use super::files::{connect, failure};
use crate::port::StoreError;

/// Pages that a write-ahead log grows by before they are moved as soon as nobody writes: some 4 MiB for each file that is written.
const GROWTH_PAGES: u32 = 1_000;

/// With so many pages it is not waited for that: some 48 MiB.
const PRESSING_PAGES: u32 = 12_000;

/// Nobody writes who has not for so long.
const REST: Duration = Duration::from_millis(250);

/// So often is looked whether nobody writes to a file whose log is to be moved.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// With so many pages in the write-ahead log whoever commits moves them, so that it ends somewhere if nobody else gets to it: some 64 MiB.
const PAGES_MAX: u32 = 16_000;

/// What was written meanwhile is moved, too, so often: only behind a log that is moved completely the next commit begins at its front.
const ROUNDS: usize = 3;

/// The write-ahead log of one file.
pub(super) struct WriteAhead {
    path: PathBuf,
    /// Held by whoever moves it: of two at a time one is refused.
    moving: Mutex<()>,
    /// Pages that were in it when it was last moved.
    moved_pages: AtomicU32,
    /// It is to be moved.
    is_due: AtomicBool,
    /// The pages in it after the last commit, and when that was.
    newest: Mutex<(u32, Instant)>,
}

impl WriteAhead {
    pub(super) fn new(path: &Path) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            moving: Mutex::default(),
            moved_pages: AtomicU32::new(0),
            is_due: AtomicBool::new(false),
            newest: Mutex::new((0, Instant::now())),
        })
    }

    /// As long as this is held nobody else moves it.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.moving.lock()
    }

    /// Whether it has grown by so much that it is to be moved, and nobody was told.
    fn becomes_due(&self, pages: u32) -> bool {
        *self.newest.lock() = (pages, Instant::now());
        let moved = self.moved_pages.load(Ordering::Relaxed);
        if pages < moved {
            // It has begun at its front again.
            self.moved_pages.store(0, Ordering::Relaxed);
        }
        let grown = pages.checked_sub(moved).unwrap_or(pages);
        grown >= GROWTH_PAGES && !self.is_due.swap(true, Ordering::AcqRel)
    }

    /// Whether it is to be moved now.
    fn is_at_rest(&self) -> bool {
        let (pages, since) = *self.newest.lock();
        pages >= PRESSING_PAGES || since.elapsed() >= REST
    }

    fn relieve(&self, connection: &Connection) -> Result<(), StoreError> {
        let _moving = self.hold();
        for _ in 0..ROUNDS {
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            let row = connection.query_row(sql, (), |row| {
                Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
            });
            let (pages, moved) = row.map_err(failure)?;
            let known = u32::try_from(pages).unwrap_or(0);
            self.moved_pages.store(known, Ordering::Relaxed);
            if pages == moved {
                break;
            }
        }
        Ok(())
    }
}

/// What the thread is told.
enum Message {
    Due(Arc<WriteAhead>),
    End,
}

/// A thread that moves the write-ahead logs of some files. It begins with the first that is written, so that whoever only reads has none, and ends with this.
pub(super) struct Checkpoints {
    files: usize,
    running: Mutex<Option<Running>>,
}

/// The thread, and how it is told. It ends with this.
struct Running {
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// For so many files.
    pub(super) fn new(files: usize) -> Self {
        Self {
            files,
            running: Mutex::default(),
        }
    }

    /// How the thread is told, which is started if it does not run yet.
    fn sender(&self) -> Result<SyncSender<Message>, StoreError> {
        let mut running = self.running.lock();
        if let Some(running) = &*running {
            return Ok(running.sender.clone());
        }
        Ok(running.insert(Running::start(self.files)?).sender.clone())
    }

    /// From now on what this connection commits is moved by the thread.
    pub(super) fn watch(
        &self,
        connection: &mut Connection,
        log: &Arc<WriteAhead>,
    ) -> Result<(), StoreError> {
        let (sender, log) = (self.sender()?, Arc::clone(log));
        let hook = move |wal: &mut rusqlite::hooks::Wal, pages: i32| {
            let pages = u32::try_from(pages).unwrap_or(0);
            if pages >= PAGES_MAX
                && let Some(_moving) = log.moving.try_lock()
            {
                // What is committed is committed: this may fail, and is tried again.
                if let Err(error) = wal.checkpoint() {
                    tracing::warn!(%error, "a write-ahead log is not moved into its file");
                }
            } else if log.becomes_due(pages) {
                // There is a place for each file.
                let _ = sender.try_send(Message::Due(Arc::clone(&log)));
            }
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(failure)
    }
}

impl Running {
    fn start(files: usize) -> Result<Self, StoreError> {
        // Each of them is due once at a time.
        let (sender, receiver) = sync_channel(files + 1);
        let thread = thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || work(&receiver))
            .map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Self {
            sender,
            thread: Some(thread),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.sender.send(Message::End);
        // It panics nowhere; if it did, the writers would do without it.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(receiver: &Receiver<Message>) {
    let mut connections = BTreeMap::new();
    let mut due = Vec::new();
    loop {
        let told = match due.is_empty() {
            true => receiver.recv().map_err(RecvTimeoutError::from),
            false => receiver.recv_timeout(LOOK_EVERY),
        };
        match told {
            Ok(Message::Due(log)) => due.push(log),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
        }
        due.retain(|log: &Arc<WriteAhead>| {
            let stays = !log.is_at_rest();
            if !stays {
                log.is_due.store(false, Ordering::Release);
                if let Err(error) = relieve(&mut connections, log) {
                    let path = log.path.display();
                    tracing::warn!(%path, %error, "a write-ahead log is not moved into its file");
                }
            }
            stays
        });
    }
}

fn relieve(
    connections: &mut BTreeMap<PathBuf, Connection>,
    log: &WriteAhead,
) -> Result<(), StoreError> {
    if !connections.contains_key(&log.path) {
        connections.insert(log.path.clone(), connect(&log.path)?);
    }
    match connections.get(&log.path) {
        Some(connection) => log.relieve(connection),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{super::files::connect_writer, *};

    #[test]
    fn logs_are_moved_beside_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let checkpoints = Checkpoints::new(1);
        let log = WriteAhead::new(&path);
        let mut writer = connect_writer(&path).unwrap();
        // As long as nobody writes there is no thread.
        assert!(checkpoints.running.lock().is_none());
        checkpoints.watch(&mut writer, &log).unwrap();
        assert!(checkpoints.running.lock().is_some());
        writer
            .execute_batch("CREATE TABLE log (place BIGINT PRIMARY KEY, payload BLOB NOT NULL)")
            .unwrap();
        // Each takes up some four pages.
        for place in 0_i64..2_000 {
            let insert = "INSERT INTO log VALUES ($1, zeroblob(16384))";
            writer.execute(insert, [place]).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let size = || std::fs::metadata(&path).unwrap().len();
        while size() < 16 << 20 {
            assert!(Instant::now() < deadline, "{} bytes are moved", size());
            thread::sleep(Duration::from_millis(10));
        }
        // Whoever empties it is not refused because it is moved just now.
        for place in 2_000..2_400 {
            let insert = "INSERT INTO log VALUES ($1, zeroblob(65536))";
            writer.execute(insert, [place]).unwrap();
            let _moving = log.hold();
            super::super::files::empty_wal(&writer).unwrap();
        }
        drop((checkpoints, writer));
        let again = connect(&path).unwrap();
        let count = again.query_row("SELECT count(*) FROM log", (), |row| row.get::<_, i64>(0));
        assert_eq!(count.unwrap(), 2_400);
    }

    #[test]
    fn a_log_is_due_when_it_has_grown() {
        let log = WriteAhead::new(Path::new("log.db"));
        assert!(!log.becomes_due(GROWTH_PAGES - 1));
        assert!(log.becomes_due(GROWTH_PAGES));
        // It is known.
        assert!(!log.becomes_due(GROWTH_PAGES + 1));
        log.is_due.store(false, Ordering::Relaxed);
        log.moved_pages.store(GROWTH_PAGES, Ordering::Relaxed);
        assert!(!log.becomes_due(2 * GROWTH_PAGES - 1));
        // It began at its front.
        assert!(!log.becomes_due(10));
        assert!(log.becomes_due(GROWTH_PAGES));
    }
}
