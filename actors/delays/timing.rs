//! What a schedule does of its own accord: it hands over what is due, and hears how that went.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use ractor::concurrency::JoinHandle;

use super::{
    board::Slot,
    decide::{DEPARTED_MAX, FINISHED_KEPT_MS},
    message::{DelayAnswer, DelayCommand, DelayError, DelaySignal, Outcome},
    state::{Delayed, Delays, Stage},
};
use crate::kernel::{Myself, Port, Resident};

/// Timers are set for at most so long: a clock that was set meanwhile is noticed then.
const TIMER_MAX_MS: u64 = 60_000;

/// Waits before a room that did not answer is asked again: the first and the longest.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// So long after an attempt its outcome must have been recorded, else it is tried again.
const UNHAND_AFTER: Duration = Duration::from_secs(10);

/// Why an event did not get into its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendTrouble {
    /// It never will.
    Refused {
        /// The code.
        errcode: String,
        /// Why.
        error: String,
    },
    /// It may later.
    Passing,
}

/// The way into rooms.
pub trait Outlet: Send + Sync + 'static {
    /// Sends a delayed event and gives its event ID; the same one however often it is asked.
    fn send(&self, delayed: Arc<Delayed>) -> BoxFuture<'static, Result<String, SendTrouble>>;
}

/// What a schedule remembers only while it is awake.
#[derive(Default)]
pub struct Timing {
    timer: Option<(u64, JoinHandle<()>)>,
    /// What somebody is sending at this moment.
    sending: BTreeSet<String>,
    waiting: BTreeMap<String, Vec<Port<DelayAnswer, DelayError>>>,
    has_pending: bool,
}

impl Timing {
    /// Whether it must stay awake.
    pub(super) fn is_busy(&self) -> bool {
        self.has_pending || !self.waiting.is_empty()
    }

    /// It may be sent again.
    pub(super) fn unhand(&mut self, delay_id: &str) {
        self.sending.remove(delay_id);
    }

    /// Waits for the end of one that departed.
    pub(super) fn wait(
        &mut self,
        state: &Delays,
        delay_id: String,
        port: Port<DelayAnswer, DelayError>,
    ) {
        match state.items.get(&delay_id).map(|delayed| &delayed.stage) {
            None => drop(port.send(Err(DelayError::Unknown))),
            Some(Stage::Finished(finished)) => {
                let _ = port.send(Ok(DelayAnswer::Ended(finished.outcome.clone())));
            }
            Some(_) => self.waiting.entry(delay_id).or_default().push(port),
        }
    }

    fn tell(&mut self, state: &Delays) {
        let waiting = std::mem::take(&mut self.waiting);
        for (delay_id, ports) in waiting {
            for port in ports.into_iter().filter(|port| !port.is_closed()) {
                self.wait(state, delay_id.clone(), port);
            }
        }
    }
}

/// Looks what is to be done now, and when to look again.
pub(super) fn look(resident: &mut Resident<Delays>) {
    let state = resident.state.clone();
    let slot = Slot {
        targets: state.targets.clone(),
        has_pending: state.has_pending(),
    };
    resident.context.board.publish(state.number, slot);
    resident.live.has_pending = state.has_pending();
    resident.live.tell(&state);
    for delayed in unsent(&state, &mut resident.live) {
        let outlet = resident.context.outlet.clone();
        let sent = send_in_order(outlet, delayed, resident.myself.clone());
        ractor::concurrency::spawn(sent);
    }
    set_timer(resident, &state);
}

/// What departed and nobody sends yet, room by room, in the order in which it was due.
fn unsent(state: &Delays, live: &mut Timing) -> Vec<Vec<Arc<Delayed>>> {
    let mut rooms: BTreeMap<&str, Vec<Arc<Delayed>>> = BTreeMap::new();
    for delay_id in &state.departed {
        if let Some(delayed) = state.items.get(delay_id)
            && live.sending.insert(delay_id.clone())
        {
            let room = rooms.entry(&delayed.scheduled.room_id).or_default();
            room.push(delayed.clone());
        }
    }
    let mut rooms: Vec<_> = rooms.into_values().collect();
    for room in &mut rooms {
        room.sort_by_key(|delayed| delayed.due_ms());
    }
    rooms
}

fn set_timer(resident: &mut Resident<Delays>, state: &Delays) {
    let now_ms = resident.context.env.now_ms();
    let is_crowded = state.departed.len() >= DEPARTED_MAX;
    let due = state.due.get_min().filter(|_| !is_crowded);
    let due = due.map(|(at_ms, _)| *at_ms);
    let old = state.finished.get_min();
    let old = old.map(|(at_ms, _)| at_ms.saturating_add(FINISHED_KEPT_MS));
    let next = due.into_iter().chain(old).min();
    if let Some((at_ms, timer)) = &resident.live.timer {
        if Some(*at_ms) == next && !timer.is_finished() {
            return;
        }
        timer.abort();
    }
    resident.live.timer = next.map(|at_ms| {
        let myself = resident.myself.clone();
        let wait_ms = at_ms.saturating_sub(now_ms).min(TIMER_MAX_MS);
        let timer = ractor::concurrency::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            myself.signal(DelaySignal::Tick);
        });
        (at_ms, timer)
    });
}

/// A moment has come for which a timer was set, or somebody thinks so.
pub(super) fn tick(resident: &mut Resident<Delays>) {
    let now_ms = resident.context.env.now_ms();
    let state = &resident.state;
    let is_due = state
        .due
        .get_min()
        .is_some_and(|(at_ms, _)| *at_ms <= now_ms)
        && state.departed.len() < DEPARTED_MAX;
    let is_old = state
        .finished
        .get_min()
        .is_some_and(|(at_ms, _)| at_ms.saturating_add(FINISHED_KEPT_MS) <= now_ms);
    if is_due || is_old {
        resident.myself.command(DelayCommand::DepartDue);
    } else {
        look(resident);
    }
}

/// Sends some to one room, each until that has succeeded or was refused. What is told to the schedule may be lost: then the schedule, which has it in its log,
/// sends it again.
async fn send_in_order(outlet: Arc<dyn Outlet>, events: Vec<Arc<Delayed>>, myself: Myself<Delays>) {
    for delayed in &events {
        let Some(outcome) = send(&*outlet, delayed, &myself).await else {
            return;
        };
        myself.command(DelayCommand::Finish {
            delay_id: delayed.scheduled.delay_id.clone(),
            outcome,
        });
    }
    tokio::time::sleep(UNHAND_AFTER).await;
    for delayed in &events {
        let delay_id = delayed.scheduled.delay_id.clone();
        myself.signal(DelaySignal::Unhand(delay_id));
    }
}

/// `None`: the schedule has ended. Its next life takes it up by itself.
async fn send(
    outlet: &dyn Outlet,
    delayed: &Arc<Delayed>,
    myself: &Myself<Delays>,
) -> Option<Outcome> {
    let (mut wait, longest) = RETRY_WAIT;
    loop {
        match outlet.send(delayed.clone()).await {
            Ok(event_id) => return Some(Outcome::Sent(event_id)),
            Err(SendTrouble::Refused { errcode, error }) => {
                return Some(Outcome::Refused { errcode, error });
            }
            Err(SendTrouble::Passing) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(longest);
        if !myself.try_signal(DelaySignal::Tick) {
            return None;
        }
    }
}
