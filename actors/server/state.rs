//! What is kept of a remote server, and how it changes.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Position, ShardNumber},
    record::server::{Departed, Failed, Lag, Owed, ServerRecord},
};
use serde::{Deserialize, Serialize};

use super::{
    board::combined,
    message::{ServerCommand, ServerError},
};

/// A destination is owed so many things at most.
const OWED_MAX: usize = 1_000;

/// A remote server: a fold of its records. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// The transaction on its way.
    pub in_flight: Option<Arc<Departed>>,
    /// From where on it is behind; `None` when it is not.
    pub lag: Option<Arc<Lag>>,
    /// While it is behind: rooms that have come further than that, by their ID.
    pub caught: Arc<BTreeMap<String, Position>>,
    /// Failures since the last success.
    pub failures: u64,
    /// The first of them, milliseconds since the Unix epoch; 0 when there is none.
    pub failing_since_ms: u64,
    /// No attempt is made before this time.
    pub next_ms: u64,
    /// The last success that was recorded; 0 when there was none.
    pub acknowledged_ms: u64,
    /// Up to here all that is for it was in its transactions: what is read of the log again before that is not for it. A shard that is absent stands at 0.
    #[serde(default)]
    pub done: Arc<Lag>,
    /// What it is owed beside what is read of the log in order, the first first.
    #[serde(default)]
    pub owed: Arc<Vec<Owed>>,
}

impl Server {
    /// Whether it took what it was last sent, as far as is known.
    pub fn is_proven(&self) -> bool {
        self.acknowledged_ms > 0 && self.failures == 0
    }

    /// Takes in a record.
    pub(super) fn take_in(&mut self, record: &ServerRecord) {
        match record {
            ServerRecord::Departed(departed) => {
                if self.in_flight.is_some() {
                    self.succeed(departed.at_ms);
                }
                self.note_done(&departed.done);
                self.send_owed(departed.owed);
                self.in_flight = Some(Arc::new(departed.clone()));
            }
            ServerRecord::Acknowledged(done) => self.succeed(done.at_ms),
            ServerRecord::Failed(failed) => self.fail(failed),
            ServerRecord::Lagged(lag) => self.lag = Some(Arc::new(lag.clone())),
            ServerRecord::CaughtUp(lag) => {
                self.lag = lag.clone().map(Arc::new);
                self.caught = Arc::default();
            }
            ServerRecord::Owed(owed) if self.is_owed(owed) => {}
            ServerRecord::Owed(owed) => Arc::make_mut(&mut self.owed).push(owed.clone()),
        }
    }

    fn is_owed(&self, owed: &Owed) -> bool {
        self.owed.iter().any(|known| known.record == owed.record)
    }

    fn send_owed(&mut self, count: u64) {
        if count > 0 {
            let owed = Arc::make_mut(&mut self.owed);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            owed.drain(..count.min(owed.len()));
        }
    }

    fn succeed(&mut self, at_ms: u64) {
        self.failures = 0;
        self.failing_since_ms = 0;
        self.next_ms = 0;
        self.acknowledged_ms = at_ms;
        let Some(done) = self.in_flight.take() else {
            return;
        };
        let Some(lag) = &mut self.lag else {
            return;
        };
        if !done.progress.rooms.is_empty() {
            let caught = Arc::make_mut(&mut self.caught);
            caught.extend(done.progress.rooms.iter().cloned());
        }
        if !done.progress.users.is_empty() {
            let users = &mut Arc::make_mut(lag).users;
            for (shard, position) in &done.progress.users {
                users.retain(|(number, _)| number != shard);
                users.push((*shard, *position));
            }
            let users = done.progress.users.clone();
            self.note_done(&Lag {
                rooms: Vec::new(),
                users,
            });
        }
    }

    fn note_done(&mut self, upto: &Lag) {
        if *upto == Lag::default() {
            return;
        }
        let done = Arc::make_mut(&mut self.done);
        move_on(&mut done.rooms, &upto.rooms);
        move_on(&mut done.users, &upto.users);
    }

    fn fail(&mut self, failed: &Failed) {
        if self.failures == 0 {
            self.failing_since_ms = failed.at_ms;
        }
        self.failures += 1;
        self.next_ms = failed.next_ms;
    }

    /// What a command comes to.
    pub(super) fn decide(
        &self,
        command: ServerCommand,
        now_ms: u64,
    ) -> Result<Vec<ServerRecord>, ServerError> {
        use playhouse_schema::record::server::Acknowledged;
        let current = self
            .in_flight
            .as_ref()
            .map(|departed| &departed.transaction_id);
        match command {
            ServerCommand::Depart {
                departed,
                acknowledged,
            } => {
                if current != acknowledged.as_ref() {
                    return Err(ServerError::OutOfTurn);
                }
                Ok(vec![ServerRecord::Departed(*departed)])
            }
            ServerCommand::Acknowledge(id) => {
                if current != Some(&id) {
                    return Err(ServerError::OutOfTurn);
                }
                let acknowledged = ServerRecord::Acknowledged(Acknowledged { at_ms: now_ms });
                // Who reads the records only must know that something is left.
                let left = self.owed.first().cloned().map(ServerRecord::Owed);
                Ok([acknowledged].into_iter().chain(left).collect())
            }
            ServerCommand::Owe(owed) if self.is_owed(&owed) => Ok(Vec::new()),
            ServerCommand::Owe(_) if self.owed.len() >= OWED_MAX => Err(ServerError::TooMuch),
            ServerCommand::Owe(owed) => Ok(vec![ServerRecord::Owed(*owed)]),
            ServerCommand::Fail { next_ms, lag } => {
                let mut records = self.lagged(lag);
                records.push(ServerRecord::Failed(Failed {
                    at_ms: now_ms,
                    next_ms,
                }));
                Ok(records)
            }
            ServerCommand::LagBehind(lag) => Ok(self.lagged(Some(lag))),
            ServerCommand::CatchUp(lag) => {
                let lag = lag.map(|lag| self.without_done(&lag));
                let is_new = self.lag.is_some();
                Ok(is_new
                    .then_some(ServerRecord::CaughtUp(lag))
                    .into_iter()
                    .collect())
            }
        }
    }

    /// Who is behind already stays behind from there on.
    fn lagged(&self, lag: Option<Lag>) -> Vec<ServerRecord> {
        let lag = lag.filter(|_| self.lag.is_none());
        let lag = lag.map(|lag| self.without_done(&lag));
        lag.map(ServerRecord::Lagged).into_iter().collect()
    }

    /// Who reads the log again knows only how far that has come: what was sent before is not missed.
    fn without_done(&self, lag: &Lag) -> Lag {
        combined(&self.done, lag, Position::max)
    }
}

/// Positions only move forward.
fn move_on(known: &mut Vec<(ShardNumber, Position)>, to: &[(ShardNumber, Position)]) {
    for (number, position) in to {
        match known.iter_mut().find(|(other, _)| other == number) {
            Some((_, reached)) => *reached = (*reached).max(*position),
            None => known.push((*number, *position)),
        }
    }
}
