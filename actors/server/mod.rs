//! A remote server as a destination: what it has, what is on its way to it, and when it is tried again.
//!
//! Owns the transaction on its way and the failures. Must not know rooms and users but through their queries, nor how servers are reached.
//!
//! # How nothing is lost at no cost for the dead
//! The log is the queue. The follower [`outboxes`](crate::followers::outboxes) reads it once for all destinations and puts *references* into the
//! [`board`]: in memory, bounded, gone with the process. Its own durable position never passes something that a destination still has to be sent, so a
//! restart reads that again. Two things let go of the position:
//!
//! - the thing is in a transaction, which is a record of the destination ([`Departed`](playhouse_schema::record::server::Departed)) before it is sent, and
//!   goes out again under the same ID until it is acknowledged;
//! - the destination is noted as *lagging* behind positions ([`Lag`](playhouse_schema::record::server::Lag)), which happens once, at the first failure, when
//!   it is slow, or when too much waits for it. From then on the follower does nothing for it but set a flag.
//!
//! So a dead destination costs a record for each attempt to reach it (rarer and rarer) and nothing for each event. When an attempt succeeds, it is asked of
//! each room that it ever had a user in, as far as the room has moved, what of our users' events it missed ([`catch_up`]); each acknowledged transaction
//! notes how far that has come. A round that ends without anything new for it ends the lagging.
//!
//! A destination that refuses a transaction as too large (413) is sent the same in halves, and halves of these. Their IDs follow from the transaction's, which
//! stays recorded as a whole until all parts are acknowledged; a single large thing that is refused is given up. So it is done with a transaction that is refused
//! again and again for what is in it ([`refusals`]).
//!
//! A record that nobody could read when its turn came, and that can be read later, is sent beside this: what it means for a destination is recorded there as
//! [`Owed`](playhouse_schema::record::server::Owed), until it is in a transaction.
//!
//! Acknowledgements are recorded with the next transaction, or when nothing came for a moment: a crash in between sends one transaction again, which its ID
//! makes harmless. Each transaction is recorded with the positions before which nothing is left for the destination, so that what a new life reads again of
//! the log is not sent again: that one transaction is all that is.

mod attempt;
pub mod board;
mod body;
mod catch_up;
mod delivery;
mod devices;
mod lanes;
pub mod message;
mod outlook;
mod refusals;
mod signs;
mod slot;
mod space;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::{LogStore, Snapshot},
    record::server::ServerRecord,
};
use ruma::{OwnedServerName, ServerName};

pub use board::OutboxBoard;
pub(crate) use devices::newest as newest_device_change;
pub use lanes::Lanes;
pub(crate) use lanes::{SLOW_AFTER, Standing};
pub use message::{
    ServerAnswer, ServerCommand, ServerError, ServerQuery, ServerReply, ServerSignal,
};
pub use outlook::{Arrival, Outlook, SentEvent};
pub use state::Server;

use crate::{
    env::Env,
    kernel::{Committed, Decision, Directory, Domain, Port, Resident},
    room::{Room, context::Folded},
    user::User,
};

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct OutboxSettings {
    /// The first wait after a failure, milliseconds; later ones are a quarter of the time since the first failure.
    pub retry_wait_ms: u64,
    /// The longest wait between attempts, milliseconds.
    pub retry_wait_max_ms: u64,
    /// What a server has refused as bad for so long, milliseconds, it will refuse for ever.
    pub refused_for_ms: u64,
    /// A server must have acknowledged a transaction within so many milliseconds.
    pub answer_within_ms: u64,
    /// So many transactions may be on their way at once to servers that answered the last one.
    pub transactions_max: usize,
    /// Other servers are told the names of devices.
    pub device_names: bool,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        Self {
            retry_wait_ms: 500,
            retry_wait_max_ms: 60 * 60 * 1_000,
            refused_for_ms: 60 * 60 * 1_000,
            answer_within_ms: 60_000,
            transactions_max: 64,
            device_names: false,
        }
    }
}

/// What all remote servers share.
pub struct ServerContext {
    /// Clock, randomness, identity, network.
    pub env: Env,
    /// For events and to-device messages.
    pub store: Arc<dyn LogStore>,
    /// Knows how far the read models are.
    pub models: Arc<dyn Folded>,
    /// For what a destination missed.
    pub rooms: Arc<Directory<Room>>,
    /// For devices.
    pub users: Arc<Directory<User>>,
    /// What waits for whom.
    pub board: Arc<OutboxBoard>,
    /// Who may send at once.
    pub lanes: Lanes,
    /// What the operator allows.
    pub settings: OutboxSettings,
}

/// What a server's actor remembers only while it is awake.
#[derive(Default)]
pub struct ServerLive {
    is_delivering: bool,
}

impl Domain for Server {
    const NAME: &'static str = "server";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = ServerRecord;
    type Command = ServerCommand;
    type Reply = ServerReply;
    type Query = ServerQuery;
    type Answer = ServerAnswer;
    type Signal = ServerSignal;
    type Error = ServerError;
    type Live = ServerLive;
    type Context = ServerContext;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &ServerRecord) {
        self.take_in(record);
    }

    fn decide(
        &self,
        command: ServerCommand,
        context: &ServerContext,
    ) -> Result<Decision<Self>, ServerError> {
        let records = Server::decide(self, command, context.env.now_ms())?;
        Ok(Decision::new(records.clone(), records))
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: ServerQuery,
        port: Port<ServerAnswer, ServerError>,
    ) {
        match query {
            ServerQuery::State => {
                let _ = port.send(Ok(ServerAnswer::State(resident.state.clone())));
            }
            ServerQuery::Outlook(event) => {
                let Ok(name) = OwnedServerName::try_from(resident.entity.name()) else {
                    return;
                };
                let place = (&*resident.context.board, &*name);
                let outlook = Outlook::of(&resident.state, place, event.as_ref());
                let _ = port.send(Ok(ServerAnswer::Outlook(Box::new(outlook))));
            }
        }
    }

    fn heeds(context: &ServerContext, entity: &Entity, signal: &ServerSignal) -> bool {
        let ServerSignal::Heard = signal else {
            return true;
        };
        let name = <&ServerName>::try_from(entity.name());
        name.is_ok_and(|name| context.board.heeds(name, context.env.now_ms()))
    }

    fn signal(resident: &mut Resident<Self>, signal: ServerSignal) {
        let Ok(name) = OwnedServerName::try_from(resident.entity.name()) else {
            return;
        };
        match signal {
            ServerSignal::Ended => resident.live.is_delivering = false,
            ServerSignal::Alive | ServerSignal::Heard => {
                resident.context.board.slot(&name).revive();
            }
            ServerSignal::Nudge => {}
        }
        begin(resident, name);
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        if resident.state.owed.is_empty() {
            return;
        }
        if let Ok(name) = OwnedServerName::try_from(resident.entity.name()) {
            resident.context.board.slot(&name).owe();
            begin(resident, name);
        }
    }

    fn is_busy(live: &ServerLive) -> bool {
        live.is_delivering
    }

    fn weight_bytes(&self) -> usize {
        let lag = self.lag.as_ref().map_or(0, |_| 1_024);
        let done = self.done.rooms.len() + self.done.users.len();
        512 + lag + self.caught.len() * 100 + done * 16 + self.owed.len() * 300
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

/// Starts a delivery, if there is something to do and none runs.
fn begin(resident: &mut Resident<Server>, name: OwnedServerName) {
    if !resident.live.is_delivering && delivery::is_due(&resident.context, &name) {
        resident.live.is_delivering = true;
        delivery::start(resident, name);
    }
}
