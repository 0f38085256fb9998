//! One model's way through one family.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use playhouse_schema::{
    address::Family,
    models::{AnyModel, parked::Parked},
    port::{Statement, StoreError, StoredRecord},
};
use tokio::time::Instant;

use super::{Reached, abroad::News};
use crate::followers::{
    bookmark::Bookmark,
    task::{PROGRAM, Source, Stop, Stopped, park},
};

/// Batches of which nothing came move the stored position only so often.
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// A fold that has taken in a batch lets the next one gather so long, unless somebody waits for it: under load it wakes for many commits at once.
const GATHER: Duration = Duration::from_millis(10);

/// Waits before a failed write is tried again: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// A patient model keeps so many records, of so many bytes in all, before it folds them whoever asks.
const KEPT_MAX: (usize, usize) = (1_000, 4 * 1024 * 1024);

/// See the module's documentation.
pub(super) struct Fold {
    model: Arc<dyn AnyModel>,
    family: Family,
    bookmark: Bookmark,
    reached: Arc<Reached>,
    news: Option<Arc<News>>,
    saved: Instant,
    kept: Kept,
}

/// Why a batch was not taken in.
enum Interrupted {
    /// Told to stop.
    Stopped,
    /// Another node has folded meanwhile.
    Overtaken,
}

/// Records that a patient model has not folded yet.
#[derive(Default)]
struct Kept {
    records: Vec<StoredRecord>,
    bytes: usize,
    since: Option<Instant>,
}

impl Kept {
    fn add(&mut self, records: Vec<StoredRecord>) {
        self.bytes += records
            .iter()
            .map(|record| record.payload.len())
            .sum::<usize>();
        self.records.extend(records);
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_full(&self) -> bool {
        self.records.len() >= KEPT_MAX.0 || self.bytes >= KEPT_MAX.1
    }
}

impl Fold {
    /// Begins where the database is.
    pub(super) async fn open(
        (source, model, reached): (Source, Arc<dyn AnyModel>, Arc<Reached>),
        family: Family,
        news: Option<Arc<News>>,
    ) -> Result<Self, StoreError> {
        let bookmark = Bookmark::open(source, model.table(), family).await?;
        let bookmark = bookmark.known_as(model.name());
        reached.come_to(bookmark.stored());
        Ok(Self {
            model,
            family,
            bookmark,
            reached,
            news,
            saved: Instant::now(),
            kept: Kept::default(),
        })
    }

    /// Folds until told to stop.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let reached = self.reached.clone();
        reached.urge.is_here.store(true, Ordering::Release);
        self.tell();
        let stopped = self.go_on(&mut stop).await;
        if stopped.is_ok()
            && let Err(error) = self.bookmark.save(Vec::new()).await
        {
            tracing::warn!(model = self.model.name(), %error, "cannot store position");
        }
        reached.urge.is_here.store(false, Ordering::Release);
    }

    /// Ends when told to stop; `Err` when something was not folded then.
    async fn go_on(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        let mut signal = stop.clone();
        let reached = self.reached.clone();
        let patience = Duration::from_millis(self.model.patience_ms());
        loop {
            let due = self.kept.since.map(|since| since + patience);
            tokio::select! {
                biased;
                () = signal.told() => break,
                () = reached.urge.more.notified(), if due.is_some() => {}
                () = tokio::time::sleep_until(due.unwrap_or(self.saved)), if due.is_some() => {}
                records = self.bookmark.reader.next() => {
                    self.kept.add(records);
                    if !(patience.is_zero() || reached.urge.is_felt() || self.kept.is_full()) {
                        continue;
                    }
                }
            }
            self.take_in_kept(stop).await?;
            if !reached.urge.is_felt() {
                tokio::select! {
                    () = reached.urge.more.notified() => {}
                    _ = stop.pause(GATHER) => {}
                }
            }
        }
        self.take_in_kept(stop).await
    }

    /// Tells how far it is.
    fn tell(&self) {
        if let Some(news) = &self.news {
            let positions = self.reached.told.borrow().clone();
            news.note((self.model.name(), self.family), positions);
        }
    }

    async fn take_in_kept(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        let records = std::mem::take(&mut self.kept).records;
        match self.take_in(&records, stop).await {
            Ok(()) => {
                self.bookmark.note_done();
                self.reached.come_to(&self.bookmark.read());
            }
            Err(Interrupted::Stopped) => return Err(Stopped),
            Err(Interrupted::Overtaken) => {
                self.bookmark.find_again(stop).await?;
                self.reached.come_to(self.bookmark.stored());
            }
        }
        self.tell();
        metrics::counter!("playhouse_model_records_total", "model" => self.model.name())
            .increment(records.len() as u64);
        Ok(())
    }

    async fn take_in(
        &mut self,
        records: &[StoredRecord],
        stop: &mut Stop,
    ) -> Result<(), Interrupted> {
        let folded: Vec<_> = records.iter().map(|record| self.fold(record)).collect();
        let statements: Vec<Statement> = folded.iter().flatten().cloned().collect();
        if statements.is_empty() && self.saved.elapsed() < IDLE_SAVE_INTERVAL {
            return Ok(());
        }
        match self.bookmark.save(statements).await {
            Ok(()) => {}
            Err(StoreError::Overtaken(_)) => return Err(Interrupted::Overtaken),
            Err(error) => {
                tracing::warn!(model = self.model.name(), %error, "cannot fold a batch, trying its records one by one");
                for (record, statements) in records.iter().zip(folded) {
                    self.take_in_one(record, statements, stop).await?;
                }
            }
        }
        self.saved = Instant::now();
        Ok(())
    }

    fn fold(&self, record: &StoredRecord) -> Vec<Statement> {
        self.model
            .changes(record)
            .unwrap_or_else(|error| vec![park(self.model.table(), record, &error).park()])
    }

    /// One record alone. When its statements fail while the position can be stored, the record is to blame: it is parked.
    async fn take_in_one(
        &mut self,
        record: &StoredRecord,
        statements: Vec<Statement>,
        stop: &mut Stop,
    ) -> Result<(), Interrupted> {
        let (mut wait, longest) = RETRY_WAIT;
        let place = (record.shard.number, record.position);
        loop {
            let error = match self.bookmark.save_one(place, statements.clone()).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Overtaken(_)) => return Err(Interrupted::Overtaken),
                Err(error) => error,
            };
            let blamed = vec![Parked::new(self.model.table(), record, PROGRAM, &error).park()];
            match self.bookmark.save_one(place, blamed).await {
                Ok(()) => {
                    park(self.model.table(), record, &error);
                    return Ok(());
                }
                Err(StoreError::Overtaken(_)) => return Err(Interrupted::Overtaken),
                Err(_) => {}
            }
            if !stop.pause(wait).await {
                return Err(Interrupted::Stopped);
            }
            wait = (wait * 2).min(longest);
        }
    }
}
