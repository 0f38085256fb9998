//! What outlives a writer: its counters, and the appends that it held when it died.

use std::{
    collections::{BTreeSet, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, ShardNumber},
    port::{Erasure, Landed, NewRecord},
};
use tokio::sync::Notify;
use tracing::Span;

use crate::kernel::{
    append::{Append, AppendError, Done, Landing, Lineage},
    spans,
};

/// Of an append that need not land as a whole so many records land at a time, and others in between. With 64 of them nine of ten commits to SQLite took up to
/// 6.2 ms, with 16 up to 2.2 ms, and a single record takes 1.7 ms: that is how long others wait.
pub(super) const SLICE_RECORDS: usize = 16;

/// The place of one writer. Writers come and go, their desk stays.
pub(super) struct Desk {
    pub(super) family: Family,
    pub(super) index: usize,
    queued_records: AtomicUsize,
    queued_bytes: AtomicUsize,
    orphans: Mutex<Vec<Orphan>>,
    fenced: Mutex<BTreeSet<ShardNumber>>,
    closed: AtomicBool,
    /// The writer died, or the desk closes.
    pub(super) trouble: Notify,
}

/// An append whose writer died while it was in a statement. It is answered only when a new writer holds the shards under a new epoch: nothing of the dead one
/// can land any more.
struct Orphan {
    done: Done,
    records: usize,
    bytes: usize,
}

impl Desk {
    pub(super) fn new(family: Family, index: usize) -> Self {
        Self {
            family,
            index,
            queued_records: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
            orphans: Mutex::default(),
            fenced: Mutex::default(),
            closed: AtomicBool::new(false),
            trouble: Notify::new(),
        }
    }

    /// Records that have no outcome yet. An append without records counts as one.
    pub(super) fn queued_records(&self) -> usize {
        self.queued_records.load(Ordering::Relaxed)
    }

    /// Payload bytes that have no outcome yet.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn is_fenced(&self, shard: ShardNumber) -> bool {
        self.fenced.lock().contains(&shard)
    }

    /// Another owner holds the shard: this node writes to it no more.
    pub(super) fn fence(&self, shard: ShardNumber) {
        self.fenced.lock().insert(shard);
    }

    /// This node holds the shard again.
    pub(super) fn unfence(&self, shard: ShardNumber) {
        self.fenced.lock().remove(&shard);
    }

    pub(super) fn fenced(&self) -> Vec<ShardNumber> {
        self.fenced.lock().iter().copied().collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// From now on nothing is taken in, and what a writer drops is answered at once.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.trouble.notify_one();
    }

    /// Answers what a dead writer left.
    pub(super) fn bury(&self) {
        let orphans = mem::take(&mut *self.orphans.lock());
        for orphan in orphans {
            self.forget(orphan.records, orphan.bytes);
            (orphan.done)(Err(died()));
        }
    }

    fn adopt(&self, orphan: Orphan) {
        self.orphans.lock().push(orphan);
        // A desk that closes just now may have answered the others already.
        if self.is_closed() {
            self.bury();
        }
    }

    fn forget(&self, records: usize, bytes: usize) {
        self.queued_records.fetch_sub(records, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An append on its way. Whatever happens to it, its `done` is called exactly once.
pub(super) struct Queued {
    desk: Arc<Desk>,
    done: Option<Done>,
    records: usize,
    /// Payload bytes of records and erasures.
    pub(super) bytes: usize,
    pub(super) shard: ShardNumber,
    pub(super) lineage: Lineage,
    pub(super) body: Body,
    /// So many of the records that are left need not land together.
    divisible: usize,
    /// Where the records landed that are not left any more.
    landed: Vec<Landed>,
    in_statement: bool,
    /// In which it is traced, and the transaction in which it is.
    span: Span,
    committing: Span,
}

/// What an append writes.
#[derive(Default)]
pub(super) struct Body {
    /// Slices are cut off in front: the others stay where they are.
    pub(super) records: VecDeque<NewRecord>,
    pub(super) erasures: Vec<Erasure>,
}

impl Queued {
    pub(super) fn new(desk: Arc<Desk>, append: Append) -> Self {
        let written = append.records.iter().map(|record| record.payload.len());
        let replaced = append.erasures.iter().map(|erasure| erasure.payload.len());
        let bytes: usize = written.chain(replaced).sum();
        // An empty append takes a place in the queue too, so it must count.
        let records = (append.records.len() + append.erasures.len()).max(1);
        // One that lets others pass keeps nobody out.
        let is_passed = is_passed(append.divisible);
        let records = if is_passed { SLICE_RECORDS } else { records };
        let bytes = if is_passed { 0 } else { bytes };
        desk.queued_records.fetch_add(records, Ordering::Relaxed);
        desk.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        Self {
            desk,
            done: Some(append.done),
            records,
            bytes,
            shard: append.shard,
            lineage: append.lineage,
            body: Body {
                records: append.records.into(),
                erasures: append.erasures,
            },
            divisible: append.divisible,
            landed: Vec::new(),
            in_statement: false,
            span: append.span,
            committing: Span::none(),
        }
    }

    fn begin(&mut self) {
        self.in_statement = true;
        self.committing = spans::commit(&self.span, self.desk.family.name());
    }

    fn end(&mut self) {
        self.in_statement = false;
        self.committing = Span::none();
    }

    /// Takes out what is to be written. From here on it may land without anybody knowing.
    pub(super) fn open(&mut self) -> Body {
        self.begin();
        mem::take(&mut self.body)
    }

    /// Whether so many of its records are left that it is written in slices, and others in between.
    pub(super) fn is_passed(&self) -> bool {
        is_passed(self.divisible)
    }

    /// Takes out some records that may land without the others, if there are so many.
    pub(super) fn cut(&mut self) -> Option<Vec<NewRecord>> {
        if !self.is_passed() {
            return None;
        }
        self.begin();
        self.divisible -= SLICE_RECORDS;
        Some(self.body.records.drain(..SLICE_RECORDS).collect())
    }

    /// Some records that were cut off have landed.
    pub(super) fn land(&mut self, landed: impl Iterator<Item = Landed>) {
        self.end();
        self.landed.extend(landed);
    }

    /// Some records that were cut off were not written.
    pub(super) fn mend(&mut self, cut: Vec<NewRecord>) {
        self.end();
        self.divisible += cut.len();
        for record in cut.into_iter().rev() {
            self.body.records.push_front(record);
        }
    }

    /// Puts back what was not written.
    pub(super) fn close(&mut self, body: Body) {
        self.end();
        self.body = body;
    }

    /// How much of a batch it takes.
    pub(super) fn records(&self) -> usize {
        self.body.records.len() + self.body.erasures.len()
    }

    /// Tells the outcome, of the records that landed before too.
    pub(super) fn finish(mut self, outcome: Result<Landing, AppendError>) {
        if let Some(done) = self.done.take() {
            self.desk.forget(self.records, self.bytes);
            let before = mem::take(&mut self.landed);
            done(outcome.map(|last| Landing {
                landed: before.into_iter().chain(last.landed).collect(),
                at_ms: last.at_ms,
            }));
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let Some(done) = self.done.take() else {
            return;
        };
        // First of all: what was decided on it must not land.
        self.lineage.break_off();
        if self.in_statement {
            self.desk.adopt(Orphan {
                done,
                records: self.records,
                bytes: self.bytes,
            });
        } else {
            self.desk.forget(self.records, self.bytes);
            done(Err(died()));
        }
    }
}

fn is_passed(divisible: usize) -> bool {
    divisible > SLICE_RECORDS
}

fn died() -> AppendError {
    AppendError::Failed("the writer died".into())
}
