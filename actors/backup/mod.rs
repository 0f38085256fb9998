//! A user's key backups (client-server API, "Server-side key backups"): versions, and the sessions in them.
//!
//! An actor of its own beside the user: a backup of a hundred thousand sessions must not weigh on each of the user's syncs, and it is asked for
//! perhaps once a day. It decides alone which copy of a session is kept and what count and etag are, so they are exact; a read model would know them
//! only after the fact and would store each session a second time. What it holds of a session is its place in the log and how good it is, some
//! seventy bytes while it is awake and nothing when it is not; the session itself is read from the log by who needs it.
//!
//! A session that was replaced or deleted leaves no text behind: its record's payload is erased, some at a time, as soon as nothing refers to it.
//!
//! Must not know HTTP, nor what is in a session.

mod decide;
pub mod message;
mod state;
#[cfg(test)]
mod tests;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::backup::BackupRecord,
};

pub use message::{BackupAnswer, BackupCommand, BackupError, BackupQuery, BackupReply};
pub use state::Backup;

use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident},
};

/// Fewer records than this are cheaper to read again than a snapshot.
const SNAPSHOT_RECORDS_MIN: u64 = 500;

/// A record may cost so many bytes of snapshots: a large backup is written less often.
const SNAPSHOT_BYTES_PER_RECORD: u64 = 2_048;

impl Domain for Backup {
    const NAME: &'static str = "backup";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = BackupRecord;
    type Command = BackupCommand;
    type Reply = BackupReply;
    type Query = BackupQuery;
    type Answer = BackupAnswer;
    type Signal = ();
    type Error = BackupError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &BackupRecord) {
        self.take_in(sequence, record);
    }

    fn decide(&self, command: BackupCommand, _env: &Env) -> Result<Decision<Self>, BackupError> {
        decide::decide(self, command)
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: BackupQuery,
        port: Port<BackupAnswer, BackupError>,
    ) {
        let _ = port.send(resident.state.tell(&query));
    }

    fn signal(_resident: &mut Resident<Self>, (): ()) {}

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        sweep(resident);
    }

    fn woken(resident: &mut Resident<Self>) {
        sweep(resident);
    }

    fn weight_bytes(&self) -> usize {
        Backup::weight_bytes(self)
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        let by_weight = Backup::weight_bytes(self) as u64 / SNAPSHOT_BYTES_PER_RECORD;
        records_since >= SNAPSHOT_RECORDS_MIN.max(by_weight)
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(&snapshot.payload)
    }
}

/// Goes on erasing until there is nothing left to erase: each sweep, once committed, leads to the next.
fn sweep(resident: &Resident<Backup>) {
    if resident.state.has_garbage() {
        resident.myself.command(BackupCommand::Sweep);
    }
}
