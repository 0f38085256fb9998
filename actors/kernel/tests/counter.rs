//! The smallest domain there is.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::{Kind, codec::Record},
};
use serde::{Deserialize, Serialize};

use crate::kernel::{Committed, Decision, Domain, Port, Resident, Unavailable};

/// A thing that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counter {
    pub(crate) sum: u64,
    /// The order matters to it, so that a record applied twice or in the wrong place shows.
    pub(crate) trace: u64,
    pub(crate) applied: Sequence,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Added(pub(crate) u64);

impl Record for Added {
    fn kind(&self) -> Kind {
        900
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    Add(u64),
    /// Replaces the first record.
    Forget,
    Nothing,
    Refuse,
    Panic,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Question {
    Sum,
    /// Answered when the sum is large enough.
    Until(u64),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CounterError {
    Refused,
    Unavailable(Unavailable),
}

impl From<Unavailable> for CounterError {
    fn from(error: Unavailable) -> Self {
        Self::Unavailable(error)
    }
}

#[derive(Default)]
pub(crate) struct Signals(pub(crate) AtomicU64);

#[derive(Default)]
pub(crate) struct Polls(Vec<(u64, Port<u64, CounterError>)>);

impl Domain for Counter {
    const NAME: &'static str = "counter";
    const SNAPSHOT_VERSION: u32 = 1;
    type Record = Added;
    type Command = Order;
    type Reply = u64;
    type Query = Question;
    type Answer = u64;
    type Signal = ();
    type Error = CounterError;
    type Live = Polls;
    type Context = Signals;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, Added(number): &Added) {
        assert!(sequence > self.applied);
        self.applied = sequence;
        self.sum += number;
        self.trace = self.trace.wrapping_mul(31).wrapping_add(sequence ^ number);
    }

    fn decide(&self, order: Order, _context: &Signals) -> Result<Decision<Self>, CounterError> {
        match order {
            Order::Add(number) => Ok(Decision::new(vec![Added(number)], self.sum + number)),
            Order::Forget => Ok(Decision {
                divisible: 0,
                prepare: None,
                records: vec![Added(0)],
                erasures: vec![(1, Added(1).encode())],
                reply: self.sum,
            }),
            Order::Nothing => Ok(Decision::unchanged(self.sum)),
            Order::Refuse => Err(CounterError::Refused),
            Order::Panic => panic!("told to panic"),
        }
    }

    fn answer(resident: &mut Resident<Self>, question: Question, port: Port<u64, CounterError>) {
        match question {
            Question::Until(sum) if resident.state.sum < sum => resident.live.0.push((sum, port)),
            _ => drop(port.send(Ok(resident.state.sum))),
        }
    }

    fn signal(resident: &mut Resident<Self>, (): ()) {
        resident.context.0.fetch_add(1, Ordering::SeqCst);
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        assert!(resident.sequence >= resident.state.applied);
        for (sum, port) in std::mem::take(&mut resident.live.0) {
            Self::answer(resident, Question::Until(sum), port);
        }
    }

    fn is_busy(polls: &Polls) -> bool {
        !polls.0.is_empty()
    }

    fn weight_bytes(&self) -> usize {
        100
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 10
    }

    fn to_snapshot(&self) -> Bytes {
        rmp_serde::to_vec(self).unwrap().into()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        rmp_serde::from_slice(&snapshot.payload).ok()
    }
}
