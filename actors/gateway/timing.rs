//! What an outbox does of its own accord: it hands over what is due, and hears how that went.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use playhouse_schema::address::Sequence;
use ractor::concurrency::JoinHandle;
use tokio::sync::watch;
use tracing::{Instrument as _, Span, field::Empty};

use super::{
    board::Backlog,
    decide::ERASED_AT_ONCE,
    message::{GatewayAnswer, GatewayCommand, GatewayError, GatewaySignal, Verdict},
    state::{Outbox, Push},
};
use crate::{
    env::Env,
    kernel::{Myself, Port, Resident, Unavailable},
    trace::{HOPS, TraceContext},
};

/// Timers are set for at most so long: a clock that was set meanwhile is noticed then.
const TIMER_MAX_MS: u64 = 60_000;

/// And at least for so long: what could not be done at once is not tried at once again.
const TIMER_MIN_MS: u64 = 50;

/// While the log has no room it is asked so often.
const INSIST_EVERY: Duration = Duration::from_millis(200);

/// So many are on their way at once; what is due beyond it waits a little longer.
const UNDER_WAY_MAX: usize = 256;

/// So many of one app: one provider that is slow does not hold up the others.
pub(super) const UNDER_WAY_PER_APP_MAX: usize = 64;

/// What has ended stays in the log for so long, if that makes fewer transactions of it.
const ERASE_AFTER_MS: u64 = 2_000;

/// The way to the providers.
pub trait Carrier: Send + Sync + 'static {
    /// Tries to pass on a notification, once. The provider must know a repetition of it by its `push_id`, as far as providers do.
    fn carry(&self, push: Arc<Push>) -> BoxFuture<'static, Verdict>;

    /// Whether attempts may begin. Once it says no it stays so for as long as this program runs, or until somebody wakes the outboxes.
    fn is_open(&self) -> bool;
}

/// Counts the attempts whose outcome is not recorded yet.
pub struct Attempts(watch::Sender<usize>);

impl Default for Attempts {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Attempts {
    /// Ends when there are none.
    pub async fn ended(&self) {
        let mut number = self.0.subscribe();
        // The sender lives as long as this call: there is always an answer.
        let _ = number.wait_for(|number| *number == 0).await;
    }

    fn begin(self: &Arc<Self>) -> Attempt {
        self.0.send_modify(|number| *number += 1);
        Attempt(self.clone())
    }
}

struct Attempt(Arc<Attempts>);

impl Drop for Attempt {
    fn drop(&mut self) {
        self.0.0.send_modify(|number| *number -= 1);
    }
}

type Waiting = BTreeMap<String, Vec<Port<GatewayAnswer, GatewayError>>>;

/// What an outbox remembers only while it is awake.
#[derive(Default)]
pub struct Timing {
    timer: Option<(u64, JoinHandle<()>)>,
    /// What is being sent, or ended because its time is over: how often it was tried before, and the app ID.
    under_way: BTreeMap<Sequence, (u32, String)>,
    /// The app that was served last: the next one comes first.
    last_app: String,
    /// Who waits for the end of what. The attempts look here too.
    waiting: Arc<Mutex<Waiting>>,
    has_pending: bool,
}

impl Timing {
    /// Whether it must stay awake.
    pub(super) fn is_busy(&self) -> bool {
        self.has_pending || !self.waiting.lock().is_empty()
    }

    /// Waits for the end of one.
    pub(super) fn wait(
        &self,
        state: &Outbox,
        push_id: String,
        port: Port<GatewayAnswer, GatewayError>,
    ) {
        if state.names.contains_key(&push_id) {
            self.waiting.lock().entry(push_id).or_default().push(port);
            return;
        }
        let finished = state.finished.get(&push_id);
        let _ = port.send(Ok(GatewayAnswer::Ended {
            rejected: finished.is_some_and(|finished| finished.rejected),
            kept: finished.is_some_and(|finished| state.is_kept(finished)),
        }));
    }

    fn tell(&self, state: &Outbox) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (push_id, ports) in waiting {
            for port in ports.into_iter().filter(|port| !port.is_closed()) {
                self.wait(state, push_id.clone(), port);
            }
        }
    }

    /// Forgets what is not under way any more.
    pub(super) fn sort_out(&mut self, state: &Outbox) {
        self.under_way.retain(|sequence, (attempts, _)| {
            let push = state.pushes.get(sequence);
            push.is_some_and(|push| push.attempts == *attempts)
        });
    }
}

/// Looks what is to be done now, and when to look again.
pub(super) fn look(resident: &mut Resident<Outbox>) {
    let state = resident.state.clone();
    let oldest = state.pushes.get_min();
    let backlog = Backlog {
        waiting: state.pushes.len(),
        oldest_ms: oldest.map(|(_, push)| push.accepted.at_ms),
        has_chores: !state.spent.is_empty(),
    };
    resident.context.board.publish(state.number, backlog);
    resident.live.has_pending = !state.pushes.is_empty() || !state.spent.is_empty();
    resident.live.sort_out(&state);
    resident.live.tell(&state);
    let now_ms = resident.context.env.now_ms();
    erase(resident, &state, now_ms);
    if resident.context.carrier.is_open() {
        send_due(resident, &state, now_ms);
        set_timer(resident, &state, now_ms);
    }
}

/// Takes what ended out of the log, many at once.
fn erase(resident: &Resident<Outbox>, state: &Outbox, now_ms: u64) {
    let is_due = state.spent.len() >= ERASED_AT_ONCE
        || erasing_due(state).is_some_and(|at_ms| at_ms <= now_ms);
    if is_due {
        resident.myself.command(GatewayCommand::Erase);
    }
}

fn erasing_due(state: &Outbox) -> Option<u64> {
    let (_, oldest) = state.spent.get_min()?;
    Some(oldest.since_ms.saturating_add(ERASE_AFTER_MS))
}

impl Timing {
    /// What is to be tried now: of each app what there is room for, one app after the other, so that none waits for those that are slow, however much of theirs
    /// is due.
    pub(super) fn choose(&mut self, state: &Outbox, now_ms: u64) -> Vec<Arc<Push>> {
        let mut by_app: BTreeMap<String, usize> = BTreeMap::new();
        for (_, app_id) in self.under_way.values() {
            *by_app.entry(app_id.clone()).or_default() += 1;
        }
        let mut chosen = Vec::new();
        let last_app = std::mem::take(&mut self.last_app);
        let (before, behind): (Vec<_>, Vec<_>) = state
            .due
            .iter()
            .partition(|(app_id, _)| **app_id <= last_app);
        self.last_app = last_app;
        for (app_id, due) in behind.into_iter().chain(before) {
            let of_app = by_app.get(app_id).copied().unwrap_or(0);
            let room = UNDER_WAY_PER_APP_MAX.saturating_sub(of_app);
            let room = room.min(UNDER_WAY_MAX.saturating_sub(self.under_way.len()));
            let due = due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms);
            let due = due.filter(|(_, sequence)| !self.under_way.contains_key(sequence));
            let due = due.filter_map(|(_, sequence)| state.pushes.get(sequence));
            let due: Vec<Arc<Push>> = due.take(room).cloned().collect();
            for push in &due {
                let note = (push.attempts, app_id.clone());
                self.under_way.insert(push.sequence, note);
                self.last_app.clone_from(app_id);
            }
            chosen.extend(due);
        }
        chosen
    }
}

fn send_due(resident: &mut Resident<Outbox>, state: &Outbox, now_ms: u64) {
    let chosen = resident.live.choose(state, now_ms);
    let (expired, good): (Vec<_>, Vec<_>) = chosen
        .into_iter()
        .partition(|push| push.accepted.expires_ms <= now_ms);
    for push in good {
        let attempt = Sending {
            carrier: resident.context.carrier.clone(),
            counted: resident.context.attempts.begin(),
            waiting: resident.live.waiting.clone(),
            myself: resident.myself.clone(),
        };
        let span = span_of(&push, &resident.context.env);
        ractor::concurrency::spawn(attempt.run(push).instrument(span));
    }
    if !expired.is_empty() {
        let myself = resident.myself.clone();
        let expired = expired.iter().map(|push| push.accepted.push_id.clone());
        let expire = GatewayCommand::Expire {
            push_ids: expired.collect(),
            now_ms,
        };
        ractor::concurrency::spawn(insist(myself, expire));
    }
}

/// The span of an attempt, within the trace of the homeserver's request.
fn span_of(push: &Push, env: &Env) -> Span {
    let accepted = &push.accepted;
    let span = tracing::info_span!(
        target: HOPS, "push_attempt",
        trace_id = Empty, span_id = Empty, parent_id = Empty, otel.kind = "client",
        push_id = accepted.push_id, device = accepted.device, app_id = accepted.app_id, attempt = u64::from(push.attempts) + 1,
        provider = Empty, outcome = Empty, reason = Empty,
    );
    TraceContext::open(&span, TraceContext::parse(&accepted.trace), env);
    span
}

fn set_timer(resident: &mut Resident<Outbox>, state: &Outbox, now_ms: u64) {
    // What is due already and was not sent waits for the end of something else.
    let after = (now_ms.saturating_add(1), 0_u64);
    let later = state.due.values();
    let later = later.filter_map(|due| due.range(after..).next());
    let later = later.map(|(at_ms, _)| *at_ms).min();
    let next = later.into_iter().chain(erasing_due(state)).min();
    if let Some((at_ms, timer)) = &resident.live.timer {
        if Some(*at_ms) == next && !timer.is_finished() {
            return;
        }
        timer.abort();
    }
    resident.live.timer = next.map(|at_ms| {
        let myself = resident.myself.clone();
        let wait_ms = at_ms
            .saturating_sub(now_ms)
            .clamp(TIMER_MIN_MS, TIMER_MAX_MS);
        let timer = ractor::concurrency::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            myself.signal(GatewaySignal::Tick);
        });
        (at_ms, timer)
    });
}

/// One attempt on its way.
struct Sending {
    carrier: Arc<dyn Carrier>,
    counted: Attempt,
    waiting: Arc<Mutex<Waiting>>,
    myself: Myself<Outbox>,
}

impl Sending {
    async fn run(self, push: Arc<Push>) {
        let push_id = push.accepted.push_id.clone();
        let attempts = push.attempts;
        let carried = AssertUnwindSafe(self.carrier.carry(push)).catch_unwind();
        let verdict = carried.await.unwrap_or_else(|_| Verdict::Later {
            after_ms: None,
            reason: "panic".to_owned(),
        });
        let told = {
            let waiting = self.waiting.lock();
            let mut ports = waiting.get(&push_id).into_iter().flatten();
            ports.any(|port| !port.is_closed())
        };
        let settle = GatewayCommand::Settle {
            push_id,
            attempts,
            verdict,
            told,
        };
        insist(self.myself, settle).await;
        tracing::debug!(target: HOPS, hop = "settled", "what came of an attempt is noted");
        drop(self.counted);
    }
}

/// Tells an outbox to do something until there is room for it in the log. When it is not done then, the outbox has ended: its next life tries again.
async fn insist(myself: Myself<Outbox>, command: GatewayCommand) {
    loop {
        let done = myself.carry_out(command.clone()).await;
        if done != Err(GatewayError::Unavailable(Unavailable::Overloaded)) {
            return;
        }
        tokio::time::sleep(INSIST_EVERY).await;
    }
}
