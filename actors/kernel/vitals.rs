//! What is known of one life of an actor without asking it: its load, and what became of its appends.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::Span;

use super::{
    append::{AppendError, Landing},
    spans,
};

/// One life's figures, shared by the actor, the directory and the appends under way.
#[derive(Default)]
pub(super) struct Vitals {
    /// When it was last called, milliseconds of the directory's clock.
    pub(super) touched_ms: AtomicU64,
    /// Calls that have no answer yet.
    pub(super) calls: AtomicUsize,
    /// Signals that it has not heard yet.
    pub(super) signals: AtomicUsize,
    /// It waits for something and must stay awake.
    pub(super) busy: AtomicBool,
    /// It did not wake, because what is recorded of it cannot be read.
    pub(super) damaged: AtomicBool,
    /// Rough memory use.
    pub(super) weight_bytes: AtomicUsize,
    /// Outcomes that the actor has not taken in yet, oldest first.
    outcomes: Mutex<VecDeque<Outcome>>,
    /// Appends without an outcome.
    flights: AtomicUsize,
    changed: Notify,
}

/// What became of an append.
pub(super) type Outcome = Result<Landing, AppendError>;

impl Vitals {
    /// Counts an append that is handed to the writers.
    pub(super) fn depart(self: &Arc<Self>) -> Flight {
        self.flights.fetch_add(1, Ordering::AcqRel);
        Flight(Some(self.clone()))
    }

    /// The oldest outcome that was not taken in yet.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let mut outcomes = self.outcomes.lock();
        let outcome = outcomes.pop_front();
        if outcomes.is_empty() && outcomes.capacity() > IDLE_CAPACITY_MAX {
            *outcomes = VecDeque::new();
        }
        outcome
    }

    /// Waits for the next outcome.
    pub(super) async fn arrival(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            self.changed.notified().await;
        }
    }

    /// Waits until no append of this life can land any more. Only for who comes after it.
    pub(super) async fn settled(&self) {
        while self.has_flights() {
            self.changed.notified().await;
        }
    }

    /// Whether appends of this life may still land.
    pub(super) fn has_flights(&self) -> bool {
        self.flights.load(Ordering::Acquire) > 0
    }
}

/// An idle actor keeps no larger queues than this.
pub(super) const IDLE_CAPACITY_MAX: usize = 16;

/// One append on its way through the writers. Has an outcome in any case, also when it is dropped.
pub(super) struct Flight(Option<Arc<Vitals>>);

impl Flight {
    /// Leaves the outcome for the actor; whether it must be told that there is one.
    pub(super) fn arrive(mut self, outcome: Outcome) -> bool {
        self.0.take().is_some_and(|vitals| leave(&vitals, outcome))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(vitals) = self.0.take() {
            leave(&vitals, Err(AppendError::Failed("given up".into())));
        }
    }
}

fn leave(vitals: &Vitals, outcome: Outcome) -> bool {
    let is_first = {
        let mut outcomes = vitals.outcomes.lock();
        outcomes.push_back(outcome);
        outcomes.len() == 1
    };
    vitals.flights.fetch_sub(1, Ordering::AcqRel);
    vitals.changed.notify_one();
    is_first
}

/// One call under way. Held by the caller and by the message, so that a message whose caller has gone still counts.
pub(super) struct Ticket {
    all: Arc<AtomicUsize>,
    vitals: Arc<Vitals>,
    /// In which the call was made.
    pub(super) span: Span,
}

impl Ticket {
    /// `None` when so many calls wait for all actors, or for this one.
    pub(super) fn take(
        all: &Arc<AtomicUsize>,
        all_max: usize,
        vitals: &Arc<Vitals>,
        one_max: usize,
    ) -> Option<Arc<Self>> {
        let in_all = all.fetch_add(1, Ordering::AcqRel);
        let in_one = vitals.calls.fetch_add(1, Ordering::AcqRel);
        let ticket = Self {
            all: all.clone(),
            vitals: vitals.clone(),
            span: spans::current(),
        };
        (in_all < all_max && in_one < one_max).then(|| Arc::new(ticket))
    }

    /// For what an actor tells itself: counts nowhere.
    pub(super) fn of_nobody() -> Arc<Self> {
        let (all, vitals) = (Arc::new(AtomicUsize::new(1)), Arc::new(Vitals::default()));
        vitals.calls.store(1, Ordering::Release);
        Arc::new(Self {
            all,
            vitals,
            span: spans::current(),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
        self.vitals.calls.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A signal in the mailbox.
pub(super) struct Whisper(Arc<Vitals>);

impl Whisper {
    /// `None` when so many wait already.
    pub(super) fn take(vitals: &Arc<Vitals>, max: usize) -> Option<Self> {
        let waiting = vitals.signals.fetch_add(1, Ordering::AcqRel);
        let whisper = Self(vitals.clone());
        (waiting < max).then_some(whisper)
    }
}

impl Drop for Whisper {
    fn drop(&mut self) {
        self.0.signals.fetch_sub(1, Ordering::AcqRel);
    }
}
