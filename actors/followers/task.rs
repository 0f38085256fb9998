//! What durable followers share: a task that reads a family and a position that survives restarts.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Shard},
    port::{CursorAdvance, LogStore, StoreError, StoredRecord},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::writers::{Tail, TailReader};

/// A batch of which nothing came moves the stored position only so often: reading it again after a crash costs little.
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// Waits before a failed write is tried again: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Tells a follower to stop. Cheap to clone.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }

    /// Ends when it is told.
    pub async fn told(&mut self) {
        // An error means that nobody is left who could tell: as good as told.
        let _ = self.0.wait_for(|told| *told).await;
    }

    /// Waits a while; `false` when told to stop meanwhile.
    pub async fn pause(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.told()).await.is_err()
    }
}

/// A running follower.
pub struct Running {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Starts a follower's task.
    pub fn start(task: impl FnOnce(Stop) -> BoxFuture<'static, ()>) -> Self {
        let (stop, told) = watch::channel(false);
        let task = ractor::concurrency::spawn(task(Stop(told)));
        Self {
            stop,
            task: Mutex::new(Some(task)),
        }
    }

    /// Tells it to stop and waits until it has, or cuts it off when the time is up. Stopping in the middle of something is safe: its position has not moved.
    pub async fn stop(&self, within: Duration) {
        let _ = self.stop.send(true);
        let Some(mut task) = self.task.lock().take() else {
            return;
        };
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// What a durable follower does with a batch. Must be safe to repeat.
pub trait Handler: Send + 'static {
    /// Handles records of one batch. `Ok(true)`: something came of it, so the position is stored at once. `Err`: told to stop before it was done.
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<bool, Stopped>>;
}

/// The log, and what is new in it.
pub type Source = (Arc<dyn LogStore>, Arc<Tail>);

/// Told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// Runs a durable follower: every record of the family from where it was before, each at least once.
pub async fn follow(
    (store, tail): Source,
    name: &'static str,
    family: Family,
    handler: impl Handler,
) -> Result<Running, StoreError> {
    let from = store.models().cursors(name, family).await?;
    let reader = tail.follow(family, &from);
    let follower = Follower {
        store,
        name,
        family,
        reader,
        saved: Instant::now(),
    };
    Ok(Running::start(|stop| Box::pin(follower.run(handler, stop))))
}

struct Follower {
    store: Arc<dyn LogStore>,
    name: &'static str,
    family: Family,
    reader: TailReader,
    saved: Instant,
}

impl Follower {
    async fn run(mut self, mut handler: impl Handler, mut stop: Stop) {
        let mut signal = stop.clone();
        loop {
            let records = tokio::select! {
                biased;
                () = signal.told() => break,
                records = self.reader.next() => records,
            };
            match handler.handle(&records, &mut stop).await {
                Err(Stopped) => return,
                Ok(false) if self.saved.elapsed() < IDLE_SAVE_INTERVAL => {}
                Ok(_) => {
                    if !self.save(&mut stop).await {
                        return;
                    }
                }
            }
            metrics::counter!("playhouse_follower_records_total", "follower" => self.name)
                .increment(records.len() as u64);
        }
        if let Err(error) = self.store.models().apply(Vec::new(), self.cursors()).await {
            tracing::warn!(follower = self.name, %error, "cannot store position");
        }
    }

    fn cursors(&self) -> Vec<CursorAdvance> {
        let shards = 0..self.store.layout().shards;
        let read = shards.map(|number| (number, self.reader.position(number)));
        read.filter(|(_, position)| *position > 0)
            .map(|(number, position)| CursorAdvance {
                name: self.name,
                shard: Shard {
                    family: self.family,
                    number,
                },
                position,
            })
            .collect()
    }

    /// Stores the position; `false` when told to stop meanwhile.
    async fn save(&mut self, stop: &mut Stop) -> bool {
        let (mut wait, longest) = RETRY_WAIT;
        while let Err(error) = self.store.models().apply(Vec::new(), self.cursors()).await {
            tracing::warn!(follower = self.name, %error, "cannot store position");
            if !stop.pause(wait).await {
                return false;
            }
            wait = (wait * 2).min(longest);
        }
        self.saved = Instant::now();
        true
    }
}
