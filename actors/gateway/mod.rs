//! What homeservers gave the push gateway to pass on: sixteen outboxes, each with the notifications of its part of the devices.
//!
//! Owns that what was accepted is tried until its time is over, in order for each device, that a repetition is known, and which pushkeys are dead. Must not know
//! providers, nor what stands in a notification: the carrier does.

mod board;
mod contents;
mod decide;
pub mod message;
mod state;
#[cfg(test)]
mod tests;
mod timing;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    chain,
    port::{LogStore, Snapshot, StoreError},
    record::gateway::GatewayRecord,
};

pub use board::{Backlog, GatewayBoard};
pub use message::{
    GatewayAnswer, GatewayCommand, GatewayError, GatewayQuery, GatewayReply, GatewaySignal,
    NewPush, PushOutcome, Verdict,
};
pub use state::{Outbox, Push};
pub use timing::{Attempts, Carrier, Timing};

use crate::{
    env::Env,
    kernel::{Committed, Decision, Domain, Port, Resident},
};

/// How many outboxes there are. Fixed for ever: it decides where a device's notifications are found.
pub const OUTBOXES: u8 = 16;

/// What the operator allows.
#[derive(Clone, Copy, Debug)]
pub struct GatewaySettings {
    /// So many notifications may wait in all outboxes together.
    pub waiting_max: usize,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        Self {
            waiting_max: 100_000,
        }
    }
}

/// What all outboxes share.
pub struct GatewayContext {
    /// Clock and randomness.
    pub env: Env,
    /// What the operator allows.
    pub settings: GatewaySettings,
    /// What the outboxes tell.
    pub board: Arc<GatewayBoard>,
    /// The way to the providers.
    pub carrier: Arc<dyn Carrier>,
    /// Attempts on their way.
    pub attempts: Arc<Attempts>,
}

/// An outbox, by its number.
pub fn outbox(number: u8) -> Entity {
    Entity::house(&format!("gateway-{number:02x}"))
}

/// The outbox with a device's notifications, by the device's digest.
pub fn outbox_of(device: &str) -> Entity {
    let number = device.get(..1).map(|digit| u8::from_str_radix(digit, 16));
    outbox(number.and_then(Result::ok).unwrap_or(0) % OUTBOXES)
}

/// What a device is called here: nobody can send anything to it by that.
pub fn device_digest(app_id: &str, pushkey: &str) -> String {
    digest_of(&[app_id, pushkey])
}

/// A digest of some texts.
pub fn digest_of(parts: &[&str]) -> String {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    let digest = chain::digest(&bytes);
    digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn number_of(entity: &Entity) -> u8 {
    let number = entity.name().strip_prefix("gateway-");
    number
        .and_then(|number| u8::from_str_radix(number, 16).ok())
        .unwrap_or(0)
}

impl Domain for Outbox {
    const NAME: &'static str = "gateway";
    const SNAPSHOT_VERSION: u32 = 3;

    type Record = GatewayRecord;
    type Command = GatewayCommand;
    type Reply = GatewayReply;
    type Query = GatewayQuery;
    type Answer = GatewayAnswer;
    type Signal = GatewaySignal;
    type Error = GatewayError;
    type Live = Timing;
    type Context = GatewayContext;

    fn empty(entity: &Entity) -> Self {
        Self::numbered(number_of(entity))
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &GatewayRecord) {
        self.take_in(sequence, record);
    }

    fn erased(&mut self, _note: Sequence, replaced: Option<(Sequence, &bytes::Bytes)>) {
        if let Some((sequence, _)) = replaced {
            self.spent.remove(&sequence);
        }
    }

    fn decide(
        &self,
        command: GatewayCommand,
        context: &GatewayContext,
    ) -> Result<Decision<Self>, GatewayError> {
        decide::decide(self, command, context)
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: GatewayQuery,
        port: Port<GatewayAnswer, GatewayError>,
    ) {
        let state = resident.state.clone();
        match query {
            GatewayQuery::Await(push_id) => resident.live.wait(&state, push_id, port),
            GatewayQuery::Length => {
                let _ = port.send(Ok(GatewayAnswer::Length(state.pushes.len())));
            }
        }
    }

    fn signal(resident: &mut Resident<Self>, signal: GatewaySignal) {
        match signal {
            GatewaySignal::Tick => timing::look(resident),
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
        records_since >= 2_000
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode()
    }

    fn from_snapshot(entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(number_of(entity), &snapshot.payload)
    }

    fn hydrate<'a>(&'a mut self, store: &'a dyn LogStore) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(contents::hydrate(self, store))
    }
}
