//! Measures one part of a scenario: how many operations, how long each took, what failed, what it cost the server.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};

use super::{
    process,
    target::Target,
    trouble::{Outcome, Trouble},
};

/// The figures of one part in one round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) operations: usize,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of all processes of the server; `None` when they are not known.
    pub(crate) server_cpu_ms: Option<u64>,
    pub(crate) resident_mib: Option<f64>,
    pub(crate) tool_cpu_ms: u64,
    pub(crate) received_bytes: u64,
    pub(crate) errors: BTreeMap<String, usize>,
    /// Acknowledged, but absent afterwards.
    pub(crate) lost: usize,
    /// Owed to somebody who waited, but never delivered.
    pub(crate) undelivered: usize,
    /// Something worth a line below the table.
    pub(crate) note: Option<String>,
}

/// Takes down what happens until [`Meter::end`].
pub(crate) struct Meter<'a> {
    target: &'a Target,
    name: String,
    begun: Instant,
    server: process::Look,
    tool_cpu_ms: u64,
    received_bytes: u64,
    micros: RefCell<Vec<u32>>,
    errors: RefCell<BTreeMap<String, usize>>,
    ended: Cell<Option<Instant>>,
}

impl<'a> Meter<'a> {
    /// Begins a part.
    pub(crate) fn begin(target: &'a Target, name: &str) -> Self {
        Self {
            target,
            name: name.to_owned(),
            server: target.look(),
            tool_cpu_ms: process::own_cpu_ms(),
            received_bytes: target.api.client.received_bytes(),
            micros: RefCell::default(),
            errors: RefCell::default(),
            ended: Cell::new(None),
            begun: Instant::now(),
        }
    }

    /// An operation succeeded.
    pub(crate) fn took(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.micros.borrow_mut().push(micros);
    }

    /// An operation failed.
    pub(crate) fn failed(&self, trouble: &Trouble) {
        *self
            .errors
            .borrow_mut()
            .entry(trouble.to_string())
            .or_default() += 1;
    }

    /// Does one operation and takes down how it went.
    pub(crate) async fn time<T>(&self, operation: impl Future<Output = Outcome<T>>) -> Option<T> {
        let begun = Instant::now();
        match operation.await {
            Ok(done) => {
                self.took(begun.elapsed());
                Some(done)
            }
            Err(trouble) => {
                self.failed(&trouble);
                None
            }
        }
    }

    /// Does `count` operations, `clients` at a time, each as soon as one before it has ended. The answers stand in the operations' order.
    pub(crate) async fn repeat<T, F: Future<Output = Outcome<T>>>(
        &self,
        count: usize,
        clients: usize,
        operation: impl Fn(usize) -> F,
    ) -> Vec<Option<T>> {
        let operation = &operation;
        let one = |number| async move { (number, self.time(operation(number)).await) };
        let mut answers: Vec<_> = stream::iter((0..count).map(one))
            .buffer_unordered(clients.max(1))
            .collect()
            .await;
        answers.sort_unstable_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// What comes now does not belong to the rate, but what is still in flight counts.
    pub(crate) fn stop_clock(&self) {
        self.ended.set(Some(Instant::now()));
    }

    /// The figures.
    pub(crate) fn end(self) -> Part {
        let ended = self.ended.get().unwrap_or_else(Instant::now);
        let mut micros = self.micros.into_inner();
        micros.sort_unstable();
        let now = self.target.look();
        let is_known = self.target.has_processes();
        let cpu_ms = now.cpu_ms.saturating_sub(self.server.cpu_ms);
        Part {
            name: self.name,
            operations: micros.len(),
            seconds: (ended - self.begun).as_secs_f64(),
            p50_ms: quantile_ms(&micros, 0.50),
            p99_ms: quantile_ms(&micros, 0.99),
            server_cpu_ms: is_known.then_some(cpu_ms),
            resident_mib: is_known.then_some(now.resident_kib as f64 / 1024.0),
            tool_cpu_ms: process::own_cpu_ms().saturating_sub(self.tool_cpu_ms),
            received_bytes: self.target.api.client.received_bytes() - self.received_bytes,
            errors: self.errors.into_inner(),
            ..Part::default()
        }
    }
}

/// Prepares something, `clients` at a time, unmeasured; the first trouble ends it. In no particular order.
pub(crate) async fn prepare<T, F: Future<Output = Outcome<T>>>(
    count: usize,
    clients: usize,
    step: impl Fn(usize) -> F,
) -> Outcome<Vec<T>> {
    let mut steps = stream::iter((0..count).map(step)).buffer_unordered(clients);
    let mut made = Vec::with_capacity(count);
    while let Some(one) = steps.next().await {
        made.push(one?);
    }
    Ok(made)
}

fn quantile_ms(sorted: &[u32], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    let micros = sorted.get(place.saturating_sub(1)).copied();
    f64::from(micros.unwrap_or(0)) / 1000.0
}
