//! What was put away and given out again, of all media, in one order: for tools that follow it. The log of this one entity is the list itself.
//!
//! A change stands here before it is made: after a crash in between it is told although it did not come to pass, which its administrator was not told either.

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::quarantine::{QuarantineChange, QuarantineRecord},
};
use serde::{Deserialize, Serialize};

use super::MediaError;
use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

/// After so many changes nobody reads the older ones again to wake it.
const SNAPSHOT_EVERY: u64 = 1_000;

/// The list: what it says is read in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuarantineLedger;

/// What can be done: a change is noted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NoteChange(pub QuarantineChange);

impl Domain for QuarantineLedger {
    const NAME: &'static str = "quarantine";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = QuarantineRecord;
    type Command = NoteChange;
    type Reply = ();
    type Query = ();
    type Answer = ();
    type Signal = ();
    type Error = MediaError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, _record: &QuarantineRecord) {}

    fn decide(&self, command: NoteChange, _env: &Env) -> Result<Decision<Self>, MediaError> {
        let NoteChange(change) = command;
        Ok(Decision::new(vec![QuarantineRecord::Changed(change)], ()))
    }

    fn answer(_resident: &mut Resident<Self>, _query: (), port: Port<(), MediaError>) {
        let _ = port.send(Ok(()));
    }

    fn weight_bytes(&self) -> usize {
        64
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= SNAPSHOT_EVERY
    }

    fn from_snapshot(_entity: &Entity, _snapshot: &Snapshot) -> Option<Self> {
        Some(Self)
    }
}
