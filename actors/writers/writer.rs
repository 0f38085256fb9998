//! One writer: takes in what waits in its mailbox and commits it in one statement at a time.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture,
};
use playhouse_schema::{
    address::ShardNumber,
    port::{Landed, LogAppender, StoreError},
    register::Claim,
};
use tokio::sync::oneshot;

use super::{
    batch::{Taken, stored},
    desk::{Desk, Queued},
    pool::PoolLimits,
    tail::Tail,
};
use crate::{
    env::Env,
    kernel::append::{AppendError, Lineage},
};

/// A batch that holds so many payload bytes takes no more, so that no statement grows without bound.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What lets others pass waits for no more batches of theirs than these: who writes without a pause must not keep it back.
const WITHOUT_SLICE_MAX: usize = 3;

/// Asking again what became of an append in doubt: first wait, and the longest.
const SETTLE_BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// The actix actor.
pub(super) struct Writer {
    desk: Arc<Desk>,
    env: Env,
    tail: Arc<Tail>,
    limits: PoolLimits,
    /// Away while a statement is under way.
    appender: Option<Box<dyn LogAppender>>,
    queue: VecDeque<Queued>,
    flush_due: bool,
    /// Batches in a row without a slice of an append that others pass, while there was one.
    without_slice: usize,
    at_ms: u64,
    /// Shards that come and go, and who wants to know.
    turns: VecDeque<Turning>,
    closing: Option<oneshot::Sender<()>>,
    meters: Meters,
    /// Tells the pool that this writer has ended, by a panic for example.
    _knell: Knell,
}

struct Meters {
    batch_records: metrics::Histogram,
    commit_seconds: metrics::Histogram,
    queue_records: metrics::Gauge,
    failed: metrics::Counter,
    fenced: metrics::Counter,
}

/// Rings when it is dropped.
pub(super) struct Knell {
    dead: Arc<AtomicBool>,
    desk: Arc<Desk>,
}

impl Knell {
    pub(super) fn new(dead: Arc<AtomicBool>, desk: Arc<Desk>) -> Self {
        Self { dead, desk }
    }
}

impl Drop for Knell {
    fn drop(&mut self) {
        self.dead.store(true, Ordering::Release);
        self.desk.trouble.notify_one();
    }
}

/// What a writer is started with.
pub(super) struct Birth {
    pub(super) desk: Arc<Desk>,
    pub(super) env: Env,
    pub(super) tail: Arc<Tail>,
    pub(super) limits: PoolLimits,
    pub(super) appender: Box<dyn LogAppender>,
    pub(super) knell: Knell,
}

impl Writer {
    pub(super) fn new(birth: Birth) -> Self {
        let family = birth.desk.family.name();
        let writer = birth.desk.index.to_string();
        let labels = [("family", family.to_owned()), ("writer", writer)];
        let meters = Meters {
            batch_records: metrics::histogram!("playhouse_writer_batch_records", &labels),
            commit_seconds: metrics::histogram!("playhouse_writer_commit_seconds", &labels),
            queue_records: metrics::gauge!("playhouse_writer_queue_records", &labels),
            failed: metrics::counter!("playhouse_append_failures_total", "family" => family, "reason" => "failed"),
            fenced: metrics::counter!("playhouse_append_failures_total", "family" => family, "reason" => "fenced"),
        };
        birth
            .tail
            .publish(birth.desk.family, Arc::default(), &birth.appender.heads());
        Self {
            _knell: birth.knell,
            desk: birth.desk,
            env: birth.env,
            tail: birth.tail,
            limits: birth.limits,
            appender: Some(birth.appender),
            queue: VecDeque::new(),
            flush_due: false,
            without_slice: 0,
            at_ms: 0,
            turns: VecDeque::new(),
            closing: None,
            meters,
        }
    }

    /// The context polls the mailbox until it is empty before it looks at what was notified, so a flush runs after all waiting appends were taken in.
    fn schedule(&mut self, ctx: &mut Context<Self>) {
        if self.flush_due || self.appender.is_none() {
            return;
        }
        if !self.queue.is_empty() || !self.turns.is_empty() {
            self.flush_due = true;
            ctx.notify(Flush);
        } else if let Some(closed) = self.closing.take() {
            let _ = closed.send(());
            ctx.stop();
        }
    }

    fn flush(&mut self, ctx: &mut Context<Self>) {
        self.flush_due = false;
        let Some(mut appender) = self.appender.take() else {
            return;
        };
        if let Some(turn) = self.next_turn() {
            return self.turn(appender, turn, ctx);
        }
        let mut taken = self.take();
        if taken.batch.records.is_empty() && taken.batch.erasures.is_empty() {
            // What comes before an empty append has landed already, or its lineage would be broken.
            self.appender = Some(appender);
            self.queue_again(taken.succeed(Vec::new()));
            return self.schedule(ctx);
        }
        let waiting = self.desk.queued_records();
        self.meters.queue_records.set(waiting as f64);
        let run = async move {
            let started = Instant::now();
            let outcome = commit(appender.as_mut(), &mut taken).await;
            (appender, taken, outcome, started.elapsed())
        };
        ctx.spawn(run.into_actor(self).map(
            |(appender, taken, outcome, took), writer: &mut Self, ctx| {
                writer.meters.commit_seconds.record(took.as_secs_f64());
                writer.committed(&*appender, taken, outcome);
                let left = writer.desk.queued_records();
                writer.meters.queue_records.set(left as f64);
                writer.appender = Some(appender);
                writer.schedule(ctx);
            },
        ));
    }

    /// The next shard that comes or goes. One that goes waits for what was handed in for it, and what was asked later of the same shard waits behind that: taken
    /// before it is let go it would be gone again, and what was decided before must not be written as if it had been decided since.
    fn next_turn(&mut self) -> Option<Turning> {
        self.drop_forlorn_turns();
        let is_due = |turning: &Turning| match turning.turn {
            Turn::LetGo(number) => !self.queue.iter().any(|queued| queued.shard == number),
            Turn::Seize(_) | Turn::Take(_) => true,
        };
        let mut asked = BTreeSet::new();
        let mut turns = self.turns.iter();
        let index =
            turns.position(|turning| asked.insert(turning.turn.shard()) && is_due(turning))?;
        self.turns.remove(index)
    }

    /// What nobody waits for any more is not taken: who wants it asks again, with every beat while the database does not answer. What is to be let go always is.
    fn drop_forlorn_turns(&mut self) {
        self.turns.retain(|turning| match turning.turn {
            Turn::LetGo(_) => true,
            Turn::Seize(_) | Turn::Take(_) => !turning.told.is_closed(),
        });
    }

    /// Takes a shard or lets it go, between two statements.
    fn turn(
        &mut self,
        mut appender: Box<dyn LogAppender>,
        turning: Turning,
        ctx: &mut Context<Self>,
    ) {
        let run = async move {
            let outcome = match turning.turn {
                Turn::Seize(number) => appender.take(&[number]).await,
                Turn::Take(claim) => appender.take_under(&[claim]).await,
                Turn::LetGo(number) => {
                    appender.let_go(&[number]);
                    Ok(())
                }
            };
            (appender, turning, outcome)
        };
        ctx.spawn(run.into_actor(self).map(
            |(appender, turning, outcome), writer: &mut Self, ctx| {
                if outcome.is_ok() {
                    let family = writer.desk.family;
                    writer
                        .tail
                        .publish(family, Arc::default(), &appender.heads());
                    let number = turning.turn.shard();
                    match turning.turn {
                        Turn::Seize(_) | Turn::Take(_) => writer.desk.unfence(number),
                        Turn::LetGo(_) => writer.desk.fence(number),
                    }
                }
                let _ = turning.told.send(outcome);
                writer.appender = Some(appender);
                writer.schedule(ctx);
            },
        ));
    }

    /// Whether a slice is written next, with what else waits: when nothing else does, or others have had their turns.
    fn is_slices_turn(&mut self) -> bool {
        let passed: Vec<_> = self
            .queue
            .iter()
            .filter(|queued| queued.is_passed())
            .map(|queued| &queued.lineage)
            .collect();
        let is_free = |queued: &Queued| !passed.iter().any(|lineage| lineage.is(&queued.lineage));
        let others_wait = !passed.is_empty() && self.queue.iter().any(is_free);
        self.without_slice = match others_wait && self.without_slice < WITHOUT_SLICE_MAX {
            true => self.without_slice + 1,
            false => 0,
        };
        self.without_slice == 0
    }

    /// The next batch off the queue. Appends that must not be written are answered on the way.
    fn take(&mut self) -> Taken {
        self.at_ms = self.at_ms.max(self.env.now_ms());
        let mut taken = Taken::new(&self.env, self.at_ms);
        let mut bytes = 0;
        // What comes behind an append of the same life that is not written as a whole waits for the rest of it. Only one of these is written at a time.
        let (mut behind, mut passed) = (VecDeque::new(), Vec::<Lineage>::new());
        let is_slices_turn = self.is_slices_turn();
        while let Some(mut queued) = self.queue.pop_front() {
            if queued.lineage.is_broken() {
                queued.finish(Err(AppendError::Failed(
                    "an earlier append of the same actor failed".into(),
                )));
                continue;
            }
            if self.desk.is_fenced(queued.shard) {
                queued.lineage.break_off();
                queued.finish(Err(AppendError::Fenced));
                continue;
            }
            if passed.iter().any(|life| life.is(&queued.lineage)) {
                behind.push_back(queued);
                continue;
            }
            if queued.is_passed() {
                passed.push(queued.lineage.clone());
                if is_slices_turn
                    && taken.is_empty()
                    && let Some(slice) = queued.cut()
                {
                    taken.begin_with(queued, slice);
                } else {
                    behind.push_back(queued);
                }
                continue;
            }
            let records = taken.records() + queued.records();
            let full =
                records > self.limits.batch_records_max || bytes + queued.bytes > BATCH_BYTES_MAX;
            if !taken.is_empty() && (full || taken.is_erased_by(&queued)) {
                self.queue.push_front(queued);
                break;
            }
            bytes += queued.bytes;
            // The store writes an erasure's note after the batch's records: only in a batch's last append the order of positions stays that of sequences.
            if taken.add(queued) {
                break;
            }
        }
        while let Some(queued) = behind.pop_back() {
            self.queue.push_front(queued);
        }
        taken
    }

    /// Puts appends before all that waits.
    fn queue_again(&mut self, appends: Vec<Queued>) {
        for queued in appends.into_iter().rev() {
            self.queue.push_front(queued);
        }
    }

    fn committed(
        &mut self,
        appender: &dyn LogAppender,
        taken: Taken,
        outcome: Result<Vec<Landed>, StoreError>,
    ) {
        match outcome {
            Ok(landed) if landed.len() == taken.batch.records.len() => {
                self.meters.batch_records.record(taken.records() as f64);
                let heads = appender.heads();
                let records = stored(&taken.batch.records, &landed, &heads, taken.batch.at_ms);
                self.tail.committed(self.desk.family, records, &heads);
                self.queue_again(taken.succeed(landed));
            }
            Ok(landed) => {
                let (told, written) = (landed.len(), taken.batch.records.len());
                tracing::error!(told, written, "store told wrong number of places");
                self.meters.failed.increment(1);
                taken.fail(&AppendError::Failed("the store told no places".into()));
            }
            Err(StoreError::Fenced(shard)) => {
                tracing::error!(%shard, "shard is fenced, nothing more is written to it");
                self.meters.fenced.increment(1);
                self.desk.fence(shard.number);
                // The others have their turn again.
                self.queue_again(taken.without(shard.number));
            }
            Err(error) => {
                tracing::error!(family = %self.desk.family, writer = self.desk.index, %error, "batch failed");
                self.meters.failed.increment(1);
                taken.fail(&AppendError::Failed(error.to_string()));
            }
        }
    }
}

/// Commits a batch; one in doubt is asked for until its fate is known.
async fn commit(
    appender: &mut dyn LogAppender,
    taken: &mut Taken,
) -> Result<Vec<Landed>, StoreError> {
    let batch = &taken.batch;
    let doubt = match appender.append(batch).await {
        Err(StoreError::InDoubt(doubt)) => doubt,
        known => return known,
    };
    tracing::warn!(batch = %batch.id, doubt, "append in doubt");
    metrics::counter!("playhouse_append_doubts_total").increment(1);
    taken.was_in_doubt = true;
    let (mut wait, longest) = SETTLE_BACKOFF;
    loop {
        match appender.settle(batch).await {
            Ok(Some(landed)) => return Ok(landed),
            Ok(None) => return Err(StoreError::Database(format!("not committed: {doubt}"))),
            Err(StoreError::Fenced(shard)) => return Err(StoreError::Fenced(shard)),
            Err(error) => tracing::warn!(batch = %batch.id, %error, "cannot settle append"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
    }
}

/// Take in an append.
pub(super) struct Enqueue(pub(super) Queued);

impl Message for Enqueue {
    type Result = ();
}

/// A shard comes or goes.
#[derive(Clone, Copy)]
pub(super) enum Turn {
    /// It is taken, whoever holds it.
    Seize(ShardNumber),
    /// It is taken under a claim.
    Take(Claim),
    /// It is written no more.
    LetGo(ShardNumber),
}

impl Turn {
    fn shard(self) -> ShardNumber {
        match self {
            Turn::Seize(number) | Turn::LetGo(number) => number,
            Turn::Take(claim) => claim.shard.number,
        }
    }
}

/// See [`Turn`].
pub(super) struct Turning {
    pub(super) turn: Turn,
    pub(super) told: oneshot::Sender<Result<(), StoreError>>,
}

impl Message for Turning {
    type Result = ();
}

/// Commit what was taken in.
struct Flush;

impl Message for Flush {
    type Result = ();
}

/// Commit everything, tell it, and end.
pub(super) struct Close(pub(super) oneshot::Sender<()>);

impl Message for Close {
    type Result = ();
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(self.limits.queue_records_max);
    }
}

impl Handler<Enqueue> for Writer {
    type Result = ();

    fn handle(&mut self, Enqueue(queued): Enqueue, ctx: &mut Context<Self>) {
        self.queue.push_back(queued);
        self.schedule(ctx);
    }
}

impl Handler<Turning> for Writer {
    type Result = ();

    fn handle(&mut self, turning: Turning, ctx: &mut Context<Self>) {
        self.drop_forlorn_turns();
        self.turns.push_back(turning);
        self.schedule(ctx);
    }
}

impl Handler<Flush> for Writer {
    type Result = ();

    fn handle(&mut self, Flush: Flush, ctx: &mut Context<Self>) {
        self.flush(ctx);
    }
}

impl Handler<Close> for Writer {
    type Result = ();

    fn handle(&mut self, Close(closed): Close, ctx: &mut Context<Self>) {
        self.closing = Some(closed);
        self.schedule(ctx);
    }
}
