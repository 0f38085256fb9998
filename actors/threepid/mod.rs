//! A third-party identifier, an e-mail address or a phone number: whose it is, and who is proving to receive what is sent there.
//!
//! The one owner of its address, so that two accounts can never both have it. Must not know accounts, nor how anything is sent. Its name in the log is a
//! digest, and payloads with the address are replaced when it is given up: then nothing readable is left of it.

mod address;
mod decide;
pub mod message;
mod state;
#[cfg(test)]
mod tests;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::threepid::ThreepidRecord,
};

pub use address::{Address, Medium, SessionId, digest};
pub use message::{
    ThreepidAnswer, ThreepidCommand, ThreepidError, ThreepidQuery, ThreepidReply, Validation,
};
pub use state::Threepid;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

impl Domain for Threepid {
    const NAME: &'static str = "threepid";

    type Record = ThreepidRecord;
    type Command = ThreepidCommand;
    type Reply = ThreepidReply;
    type Query = ThreepidQuery;
    type Answer = ThreepidAnswer;
    type Signal = ();
    type Error = ThreepidError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &ThreepidRecord) {
        self.take_in(sequence, record);
    }

    fn decide(&self, command: ThreepidCommand, env: &Env) -> Result<Decision<Self>, ThreepidError> {
        decide::decide(self, command, env.now_ms())
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: ThreepidQuery,
        port: Port<ThreepidAnswer, ThreepidError>,
    ) {
        let answer = resident.state.answer(&query, resident.context.now_ms());
        let _ = port.send(Ok(answer));
    }

    fn weight_bytes(&self) -> usize {
        512 + self.sessions() * 512
    }
}
