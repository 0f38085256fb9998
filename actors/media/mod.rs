//! A piece of media of this server, or a copy of another one's: its ID, who may fill it, what filled it, and whether it may be given out. The bytes are files on
//! disk, named by their hash.
//!
//! Owns that an ID is filled once and never again. Must not know files, HTTP, or what the content means.

mod decide;
pub mod ledger;
pub mod message;
mod state;
#[cfg(test)]
mod tests;
mod waiting;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::media::MediaRecord,
};

pub use message::{MediaAnswer, MediaCommand, MediaError, MediaFacts, MediaQuery, MediaReply};
pub use state::Media;

use self::waiting::Waiting;
use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident},
};

impl Domain for Media {
    const NAME: &'static str = "media";

    type Record = MediaRecord;
    type Command = MediaCommand;
    type Reply = MediaReply;
    type Query = MediaQuery;
    type Answer = MediaAnswer;
    type Signal = ();
    type Error = MediaError;
    type Live = Waiting;
    type Context = Env;

    fn empty(entity: &Entity) -> Self {
        Self::of(entity)
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &MediaRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: MediaCommand, env: &Env) -> Result<Decision<Self>, MediaError> {
        decide::decide(self, command, env.now_ms())
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: MediaQuery,
        port: Port<MediaAnswer, MediaError>,
    ) {
        let description = match query {
            MediaQuery::Facts => decide::facts(&resident.state),
            MediaQuery::Describe | MediaQuery::Await => decide::describe(&resident.state),
        };
        match (query, description) {
            (MediaQuery::Await, Ok(MediaAnswer::Awaited(reserved))) => {
                resident.live.add(port, reserved);
            }
            (_, description) => {
                let _ = port.send(description);
            }
        }
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        let description = decide::describe(&resident.state);
        if !matches!(description, Ok(MediaAnswer::Awaited(_))) {
            resident.live.tell(&description);
        }
    }

    fn is_busy(live: &Waiting) -> bool {
        live.is_waiting()
    }

    fn weight_bytes(&self) -> usize {
        512
    }
}
