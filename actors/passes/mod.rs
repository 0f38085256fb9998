//! What lets a user of this server in without a password: login tokens, OAuth authorization codes, browser sessions, permissions to replace keys.
//!
//! Owns whether a pass may still be used, so that none is used twice, be it over a restart. Must not know what a pass opens: that is said by who asks.

mod decide;
pub mod message;
mod state;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::pass::PassRecord,
};

pub(crate) use decide::token_kind;
pub use message::{PassAnswer, PassCommand, PassError, PassKind, PassQuery, PassReply, SeenPass};
pub use state::Passes;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

impl Domain for Passes {
    const NAME: &'static str = "passes";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = PassRecord;
    type Command = PassCommand;
    type Reply = PassReply;
    type Query = PassQuery;
    type Answer = PassAnswer;
    type Signal = ();
    type Error = PassError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &PassRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: PassCommand, env: &Env) -> Result<Decision<Self>, PassError> {
        decide::decide(self, command, env)
    }

    fn answer(resident: &mut Resident<Self>, query: PassQuery, port: Port<PassAnswer, PassError>) {
        let now_ms = resident.context.now_ms();
        let _ = port.send(resident.state.tell(query, now_ms));
    }

    fn weight_bytes(&self) -> usize {
        let details: usize = self.passes.values().map(|pass| pass.detail.len()).sum();
        256 + details + self.passes.len() * 150
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 200
    }

    fn to_snapshot(&self) -> Bytes {
        rmp_serde::to_vec(self)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        rmp_serde::from_slice(&snapshot.payload).ok()
    }
}

impl Passes {
    fn tell(&self, query: PassQuery, now_ms: u64) -> Result<PassAnswer, PassError> {
        match query {
            PassQuery::Look { kind, token } => {
                let pass = self.find(kind, &token, now_ms).ok_or(PassError::Unknown)?;
                Ok(PassAnswer::Seen(SeenPass {
                    detail: pass.detail.clone(),
                    used: pass.used,
                    at_ms: pass.at_ms,
                }))
            }
            PassQuery::Any(kind) => Ok(PassAnswer::Any(self.any(kind, now_ms).is_some())),
        }
    }
}
