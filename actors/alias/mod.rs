//! A room alias of this server: which room it points to.
//!
//! The one owner of its name, so that two rooms can never both take it. Must not know rooms: whether somebody may take or release an alias is judged
//! by who asks.

mod decide;
pub mod message;
mod state;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::alias::AliasRecord,
};

pub use message::{AliasAnswer, AliasCommand, AliasError, AliasQuery, AliasReply, AliasTarget};
pub use state::Alias;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

impl Domain for Alias {
    const NAME: &'static str = "alias";

    type Record = AliasRecord;
    type Command = AliasCommand;
    type Reply = AliasReply;
    type Query = AliasQuery;
    type Answer = AliasAnswer;
    type Signal = ();
    type Error = AliasError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &AliasRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: AliasCommand, env: &Env) -> Result<Decision<Self>, AliasError> {
        decide::decide(self, command, env)
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: AliasQuery,
        port: Port<AliasAnswer, AliasError>,
    ) {
        let AliasQuery::Resolve = query;
        let answer = resident.state.target().ok_or(AliasError::Unknown);
        let _ = port.send(answer);
    }

    fn weight_bytes(&self) -> usize {
        256
    }
}
