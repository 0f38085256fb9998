//! The registration tokens of this server (client-server API, "Token-authenticated registration"), and the nonces of registration by shared secret.
//!
//! Owns how often a token may still be used, and which nonces were. Must not know accounts, nor who may make tokens or knows the secret.

mod decide;
mod holds;
pub mod message;
mod nonce;
mod state;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::house::HouseRecord,
};

use holds::Holds;
pub use message::{
    RegistrationAnswer, RegistrationCommand, RegistrationError, RegistrationQuery,
    RegistrationReply, RegistrationSignal, TokenUse,
};
pub use nonce::{give_nonce, read_nonce};
pub use state::Registration;

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

impl Domain for Registration {
    const NAME: &'static str = "registration";
    const SNAPSHOT_VERSION: u32 = 2;

    type Record = HouseRecord;
    type Command = RegistrationCommand;
    type Reply = RegistrationReply;
    type Query = RegistrationQuery;
    type Answer = RegistrationAnswer;
    type Signal = RegistrationSignal;
    type Error = RegistrationError;
    type Live = Holds;
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &HouseRecord) {
        self.take_in(record);
    }

    fn decide(
        &self,
        command: RegistrationCommand,
        env: &Env,
    ) -> Result<Decision<Self>, RegistrationError> {
        decide::decide(self, command, env)
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: RegistrationQuery,
        port: Port<RegistrationAnswer, RegistrationError>,
    ) {
        let now_ms = resident.context.now_ms();
        let state = resident.state.clone();
        let answer = holds::answer(&state, &mut resident.live, query, now_ms);
        let _ = port.send(Ok(answer));
    }

    fn signal(resident: &mut Resident<Self>, signal: RegistrationSignal) {
        let RegistrationSignal::Release { session } = signal;
        resident.live.release(&session);
    }

    fn is_busy(live: &Holds) -> bool {
        !live.is_empty()
    }

    fn weight_bytes(&self) -> usize {
        self.tokens.len() * 200 + self.nonces.len() * 120
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 500
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(&snapshot.payload)
    }
}
