//! Events that are to be sent later (MSC4140): sixteen schedules, each with the events of its part of the users.
//!
//! Owns when an event is due, and that it is sent once: it is recorded as departed before its room sees it, and it carries a transaction by which the room
//! knows it again. Must not know rooms, nor who may send what: the room judges when the time has come.

mod board;
mod decide;
pub mod message;
mod state;
#[cfg(test)]
mod tests;
mod timing;

use std::sync::Arc;

use playhouse_schema::{
    address::{Entity, Layout, Position, Sequence},
    port::Snapshot,
    record::delay::DelayRecord,
};

pub use board::DelayBoard;
pub use message::{
    DelayAnswer, DelayCommand, DelayError, DelayQuery, DelayReply, DelaySignal, NewDelay, Outcome,
};
pub use state::{Delayed, Delays, Stage, Target};
pub use timing::{Outlet, SendTrouble, Timing};

use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident},
};

/// How many schedules there are. Fixed for ever: it decides where a user's delayed events are found.
pub const SCHEDULES: u8 = 16;

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct DelaySettings {
    /// The longest delay, milliseconds; 0 allows none.
    pub delay_max_ms: u64,
    /// So many may wait for each user.
    pub per_user_max: usize,
}

impl Default for DelaySettings {
    fn default() -> Self {
        Self {
            delay_max_ms: 24 * 60 * 60 * 1_000,
            per_user_max: 100,
        }
    }
}

/// What all schedules share.
pub struct DelayContext {
    /// Clock and randomness.
    pub env: Env,
    /// What the operator allows.
    pub settings: DelaySettings,
    /// What the schedules tell.
    pub board: Arc<DelayBoard>,
    /// The way into rooms.
    pub outlet: Arc<dyn Outlet>,
}

/// A schedule, by its number.
pub fn schedule(number: u8) -> Entity {
    Entity::house(&format!("delays-{number:02x}"))
}

/// The schedule with a user's delayed events.
pub fn schedule_of_user(user_id: &str) -> Entity {
    let layout = Layout {
        shards: u16::from(SCHEDULES),
        era: 0,
    };
    let shard = layout.shard_of(&Entity::user(user_id));
    schedule(shard.number as u8)
}

/// The schedule with a delayed event; `None` when no delayed event has such a name.
pub fn schedule_of(delay_id: &str) -> Option<Entity> {
    let number = u8::from_str_radix(delay_id.get(..2)?, 16).ok()?;
    (number < SCHEDULES).then(|| schedule(number))
}

fn number_of(entity: &Entity) -> u8 {
    let number = entity.name().strip_prefix("delays-");
    number
        .and_then(|number| u8::from_str_radix(number, 16).ok())
        .unwrap_or(0)
}

impl Domain for Delays {
    const NAME: &'static str = "delays";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = DelayRecord;
    type Command = DelayCommand;
    type Reply = DelayReply;
    type Query = DelayQuery;
    type Answer = DelayAnswer;
    type Signal = DelaySignal;
    type Error = DelayError;
    type Live = Timing;
    type Context = DelayContext;

    fn empty(entity: &Entity) -> Self {
        Self::numbered(number_of(entity))
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &DelayRecord) {
        self.take_in(sequence, record);
    }

    fn decide(
        &self,
        command: DelayCommand,
        context: &DelayContext,
    ) -> Result<Decision<Self>, DelayError> {
        decide::decide(self, command, context)
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: DelayQuery,
        port: Port<DelayAnswer, DelayError>,
    ) {
        let state = resident.state.clone();
        match query {
            DelayQuery::List(user_id) => {
                let list = state.of_user(&user_id).cloned().collect();
                let _ = port.send(Ok(DelayAnswer::List(list)));
            }
            DelayQuery::One(delay_id) => {
                let one = state.items.get(&delay_id).cloned();
                let answer = one.map(|delayed| DelayAnswer::List(vec![delayed]));
                let _ = port.send(answer.ok_or(DelayError::Unknown));
            }
            DelayQuery::Await(delay_id) => resident.live.wait(&state, delay_id, port),
        }
    }

    fn signal(resident: &mut Resident<Self>, signal: DelaySignal) {
        match signal {
            DelaySignal::Tick => timing::tick(resident),
            DelaySignal::Unhand(delay_id) => {
                resident.live.unhand(&delay_id);
                timing::look(resident);
            }
        }
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        timing::look(resident);
    }

    fn woken(resident: &mut Resident<Self>) {
        timing::look(resident);
    }

    fn is_busy(live: &Timing) -> bool {
        live.is_busy()
    }

    fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 1_000
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode()
    }

    fn from_snapshot(entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(number_of(entity), &snapshot.payload)
    }
}
