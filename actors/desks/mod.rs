//! What the edges of all nodes must see and nobody writes down: sessions of user-interactive authentication, meetings of devices, who waits for whom,
//! rates of what is rare.
//!
//! A balancer may send each request of one client to another node. So such state lies on desks: actors `house:desk-KIND-NN` without a single record, each
//! with the keys whose digest falls to it. Owns what lies there, and nothing else: what it means is known to those who put it there.
//!
//! # What is lost
//! All of it, when the desk's shard moves or its node dies. A client then begins its authentication again, two devices meet once more, rates are
//! forgiven, a lock is had back by the first who asks. Nothing that must hold may rest on a desk, with one exception: that something is
//! used once. For that a desk knows when its life began, and does not take what began before ([`message::Terms::begun_ms`]); [`message::DeskQuery::Attend`]
//! keeps the life from ending in between.
//!
//! # Bounds
//! A desk keeps so many things and bytes as [`DeskKind`] says, 8,192 rates, 4,096 locks with 1,024 waiters each, and a minute's answers in at most a
//! megabyte. Each thing has its time; where there is no room, what ends first has to go. A desk stays awake as long as anything lies on it, and a timer
//! clears it: an abandoned one sleeps in the end.
//!
//! # Asked twice
//! To the kernel all that a desk is asked is a query, and a query whose connection broke is asked again, by the kernel itself. So each one must come to the
//! same the second time:
//!
//! - `Get` and `Attend` change nothing that a second time would change again.
//! - `Put`, `Change`, `Take` and `Count` carry a nonce that is used for this one wish. The desk remembers for a minute what it has answered to a nonce, and
//!   answers the same once more without doing anything. Nobody asks that long: a call ends within half a minute. Under a flood of calls less is remembered;
//!   then a second `Put` finds its own thing there (its token is the nonce) and is answered `Done`, a second `Change` likewise, a second `Count` counts
//!   twice, and a second `Take` finds nothing, as if another had been faster.
//! - `Lock` names its holder, who has the lock or a place in the line already; the newer question gets the answer. Who has given back what was just asked
//!   for (the two may overtake each other) is answered `Over`: `Unlock` is remembered as an answer to the holder's name.
//!
//! Between two lives of a desk nothing is remembered. A second `Put` is a first one then, and so are all others: what the first one did is lost with
//! everything else.

mod locks;
pub mod message;
pub mod rates;
mod recent;
#[cfg(test)]
mod tests;
mod things;

use std::time::Duration;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::{Kind, codec::Record},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use locks::{Locks, Said};
pub use message::{
    Changed, DeskAnswer, DeskKind, DeskQuery, DeskSignal, Key, LockWish, Locked, Opaque, Put,
    PutWish, Terms, Thing,
};
use rates::Rates;
use recent::Recent;
use things::Things;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// A timer runs no longer than this.
const ALARM_MAX: Duration = Duration::from_secs(60);

/// And no shorter.
const ALARM_MIN: Duration = Duration::from_millis(2);

/// Rates that are forgotten are looked for so often.
const RATES_EVERY_MS: u64 = 60_000;

/// Clocks of nodes differ by less than this.
const SKEW_MS: u64 = 1_000;

/// A desk: nothing of it is in the log.
#[derive(Clone, Debug)]
pub struct Desk {
    kind: Option<DeskKind>,
}

/// There is no record of a desk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NoRecord {}

impl Record for NoRecord {
    fn kind(&self) -> Kind {
        match *self {}
    }
}

type DeskPort = Port<DeskAnswer, Unavailable>;

/// What lies on a desk.
pub struct OnDesk {
    /// When this life began, milliseconds since the Unix epoch.
    begun_ms: u64,
    /// Since when rates are counted: by a clock that nobody sets.
    started: Instant,
    things: Things,
    locks: Locks<DeskPort>,
    rates: Rates,
    recent: Recent,
    attends_until_ms: u64,
    alarm_ms: Option<u64>,
}

impl Default for OnDesk {
    fn default() -> Self {
        Self {
            begun_ms: 0,
            started: Instant::now(),
            things: Things::default(),
            locks: Locks::default(),
            rates: Rates::default(),
            recent: Recent::default(),
            attends_until_ms: 0,
            alarm_ms: None,
        }
    }
}

impl OnDesk {
    fn is_empty(&self) -> bool {
        self.things.is_empty()
            && self.locks.is_empty()
            && self.rates.is_empty()
            && self.recent.is_empty()
            && self.attends_until_ms == 0
    }

    /// Forgets what is over; what is to be told to those who wait.
    fn tidy(&mut self, now_ms: u64) -> Said<DeskPort> {
        self.things.forget_old(now_ms);
        self.recent.forget_old(now_ms);
        if self.attends_until_ms <= now_ms {
            self.attends_until_ms = 0;
        }
        self.locks.tidy(now_ms)
    }

    /// When something is over next.
    fn next_ms(&self, now_ms: u64) -> Option<u64> {
        let rates = (!self.rates.is_empty()).then(|| now_ms + RATES_EVERY_MS);
        let attends = Some(self.attends_until_ms).filter(|until_ms| *until_ms > 0);
        let next = [
            self.things.next_ms(),
            self.locks.next_ms(),
            self.recent.next_ms(),
            rates,
            attends,
        ];
        next.into_iter().flatten().min()
    }

    /// Answers what can be answered at once.
    fn answer(&mut self, kind: DeskKind, query: DeskQuery, now_ms: u64) -> DeskAnswer {
        let Some(nonce) = query.nonce().map(str::to_owned) else {
            return self.look(query, now_ms);
        };
        if let Some(answer) = self.recent.get(&nonce) {
            return answer;
        }
        let answer = self.act(kind, query, now_ms);
        self.recent.note(nonce, answer.clone(), now_ms);
        answer
    }

    fn look(&mut self, query: DeskQuery, now_ms: u64) -> DeskAnswer {
        match query {
            DeskQuery::Get(key) => DeskAnswer::Thing(self.things.get(key)),
            DeskQuery::Attend { until_ms } => {
                let until_ms = until_ms.min(now_ms + ATTENDS_MS_MAX);
                self.attends_until_ms = self.attends_until_ms.max(until_ms);
                DeskAnswer::Attends
            }
            // Locks have their own way.
            _ => DeskAnswer::Unlocked,
        }
    }

    fn act(&mut self, kind: DeskKind, query: DeskQuery, now_ms: u64) -> DeskAnswer {
        let bounds = kind.bounds();
        match query {
            DeskQuery::Put(wish) => DeskAnswer::Put(self.put(kind, wish)),
            DeskQuery::Change {
                key,
                if_token,
                value,
                nonce,
            } => {
                let is_repeated = |thing: Thing| thing.token == nonce;
                let changed = if self.things.get(key).is_some_and(is_repeated) {
                    Changed::Done
                } else {
                    let place = (key, if_token.as_str());
                    self.things.change(place, (value, nonce), bounds)
                };
                DeskAnswer::Changed(changed)
            }
            DeskQuery::Take { key, .. } => DeskAnswer::Thing(self.things.take(key)),
            DeskQuery::Count { key, rate, .. } => {
                let running_ms = self.started.elapsed().as_millis() as u64;
                DeskAnswer::Counted(self.rates.count(key, rate, running_ms).err())
            }
            query => self.look(query, now_ms),
        }
    }

    fn put(&mut self, kind: DeskKind, wish: PutWish) -> Put {
        let is_repeated = |thing: Thing| thing.token == wish.nonce;
        if self.things.get(wish.key).is_some_and(is_repeated) {
            return Put::Done;
        }
        let is_before = |begun_ms: u64| begun_ms.saturating_add(SKEW_MS) < self.begun_ms;
        if wish.terms.begun_ms.is_some_and(is_before) {
            return Put::Forgotten;
        }
        self.things.put(wish, kind.bounds())
    }

    /// Somebody wants a lock, or gives one back.
    fn lock(&mut self, query: DeskQuery, port: DeskPort, now_ms: u64) -> Said<DeskPort> {
        match query {
            DeskQuery::Lock(wish) if self.recent.get(&wish.holder).is_some() => {
                vec![(port, Locked::Over)]
            }
            DeskQuery::Lock(wish) => self.locks.ask(wish, port, now_ms),
            DeskQuery::Unlock { key, holder } => {
                let said = self.locks.free(key, &holder, now_ms);
                self.recent.note(holder, DeskAnswer::Unlocked, now_ms);
                let _ = port.send(Ok(DeskAnswer::Unlocked));
                said
            }
            _ => Vec::new(),
        }
    }
}

/// A desk is kept awake for what may come no longer than this.
const ATTENDS_MS_MAX: u64 = 24 * 60 * 60 * 1000;

impl Domain for Desk {
    const NAME: &'static str = "desk";

    type Record = NoRecord;
    type Command = ();
    type Reply = ();
    type Query = DeskQuery;
    type Answer = DeskAnswer;
    type Signal = DeskSignal;
    type Error = Unavailable;
    type Live = OnDesk;
    type Context = Env;

    fn empty(entity: &Entity) -> Self {
        Self {
            kind: DeskKind::of(entity),
        }
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &NoRecord) {
        match *record {}
    }

    fn decide(&self, (): (), _env: &Env) -> Result<Decision<Self>, Unavailable> {
        Ok(Decision::unchanged(()))
    }

    fn answer(resident: &mut Resident<Self>, query: DeskQuery, port: DeskPort) {
        // Nobody here makes the name of a desk that is none.
        let Some(kind) = resident.state.kind else {
            let _ = port.send(Err(Unavailable::Damaged));
            return;
        };
        let now_ms = resident.context.now_ms();
        let live = &mut resident.live;
        let mut said = live.tidy(now_ms);
        match query {
            DeskQuery::Lock(_) | DeskQuery::Unlock { .. } => {
                said.extend(live.lock(query, port, now_ms));
            }
            query => {
                let _ = port.send(Ok(live.answer(kind, query, now_ms)));
            }
        }
        say(said);
        set_alarm(resident, now_ms);
    }

    fn signal(resident: &mut Resident<Self>, signal: DeskSignal) {
        let DeskSignal::Alarm(alarm_ms) = signal;
        // A timer that was set before an earlier one has nothing to say.
        if resident.live.alarm_ms != Some(alarm_ms) {
            return;
        }
        let now_ms = resident.context.now_ms();
        let live = &mut resident.live;
        live.alarm_ms = None;
        let running_ms = live.started.elapsed().as_millis() as u64;
        live.rates.forget_full(running_ms);
        say(live.tidy(now_ms));
        set_alarm(resident, now_ms);
    }

    fn woken(resident: &mut Resident<Self>) {
        resident.live.begun_ms = resident.context.now_ms();
    }

    fn is_busy(live: &OnDesk) -> bool {
        !live.is_empty()
    }

    fn weight_bytes(&self) -> usize {
        1_024
    }
}

/// Tells those who wait for locks. Who does not listen any more loses the lock with its lease.
fn say(said: Said<DeskPort>) {
    for (port, locked) in said {
        let _ = port.send(Ok(DeskAnswer::Lock(locked)));
    }
}

/// Sees to it that a timer runs out when something is over.
fn set_alarm(resident: &mut Resident<Desk>, now_ms: u64) {
    let Some(next_ms) = resident.live.next_ms(now_ms) else {
        return;
    };
    if resident
        .live
        .alarm_ms
        .is_some_and(|alarm_ms| alarm_ms <= next_ms)
    {
        return;
    }
    resident.live.alarm_ms = Some(next_ms);
    let myself = resident.myself.clone();
    let wait = Duration::from_millis(next_ms.saturating_sub(now_ms));
    ractor::concurrency::spawn(async move {
        tokio::time::sleep(wait.clamp(ALARM_MIN, ALARM_MAX)).await;
        myself.signal(DeskSignal::Alarm(next_ms));
    });
}
