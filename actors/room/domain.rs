//! A room as the kernel sees it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::{LogStore, Snapshot, StoreError},
    record::room::RoomRecord,
};
use ruma::RoomId;

use super::{
    Room, RoomAnswer, RoomCommand, RoomError, RoomQuery, RoomReply, RoomSignal,
    context::{RoomContext, RoomLive},
    create, directory, empty, membership, parked, purge, query, receipt, receive, redact,
    retention, send_event, snapshot, told,
};
use crate::kernel::{Committed, Decision, Domain, Port, Resident};

/// Rough bytes of a room without its events.
const BARE_BYTES: usize = 2_000;

/// Rough bytes of an entry of one of its maps.
const ENTRY_BYTES: usize = 250;

/// A snapshot is worth its bytes after so many records at least: reading so many back takes a few milliseconds, and one remembered transaction weighs as
/// much as a record.
const SNAPSHOT_RECORDS_MIN: u64 = 500;

impl Domain for Room {
    const NAME: &'static str = "room";
    const SNAPSHOT_VERSION: u32 = snapshot::VERSION;

    type Record = RoomRecord;
    type Command = RoomCommand;
    type Reply = RoomReply;
    type Query = RoomQuery;
    type Answer = RoomAnswer;
    type Signal = RoomSignal;
    type Error = RoomError;
    type Live = RoomLive;
    type Context = RoomContext;

    fn empty(entity: &Entity) -> Self {
        let room_id = RoomId::parse(entity.name())
            .expect("room entities are named by room IDs that the caller has parsed");
        Self::nothing(room_id)
    }

    fn apply(&mut self, sequence: Sequence, position: Position, record: &RoomRecord) {
        self.take_in(sequence, position, record);
    }

    fn erased(&mut self, note: Sequence, replaced: Option<(Sequence, &Bytes)>) {
        self.sequence = note;
        if replaced.is_some() {
            self.replaced += 1;
        }
        if let Some((target, payload)) = replaced
            && let Ok(RoomRecord::Event(mut record)) = rmp_serde::from_slice(payload)
            && let Some(event_id) = self.held_event_id(target)
        {
            record.event_id = event_id;
            self.replace_event(target, &record);
        }
    }

    fn decide(
        &self,
        command: RoomCommand,
        context: &RoomContext,
    ) -> Result<Decision<Self>, RoomError> {
        if let RoomCommand::Expire(targets) = command {
            let before_ms = context.expired_before_ms(self);
            return Ok(retention::decide(self, before_ms, targets));
        }
        decide(self, command, &context.env)
    }

    fn answer(resident: &mut Resident<Self>, query: RoomQuery, port: Port<RoomAnswer, RoomError>) {
        query::answer(resident, query, port);
    }

    fn signal(resident: &mut Resident<Self>, signal: RoomSignal) {
        query::signal(resident, signal);
    }

    fn committed(resident: &mut Resident<Self>, records: &[Committed]) {
        let now_ms = resident.context.env.now_ms();
        let room = Arc::make_mut(&mut resident.state);
        for record in records {
            room.landed(record.sequence, record.position);
        }
        room.settle_sticky(now_ms);
        room.tidy_up();
    }

    fn weight_bytes(&self) -> usize {
        let entries =
            self.current.len() + self.receipts.len() + self.transactions.len() + self.allowed.len();
        let held_bytes = self.held_bytes
            + self.sticky.weight_bytes()
            + self.early.weight_bytes()
            + self.resets.weight_bytes()
            + self.parked.weight_bytes();
        BARE_BYTES + held_bytes + self.past.weight_bytes() + entries * ENTRY_BYTES
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= SNAPSHOT_RECORDS_MIN.max(self.current.len() as u64 / 2)
    }

    fn to_snapshot(&self) -> Bytes {
        snapshot::encode(self)
    }

    fn from_snapshot(entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        snapshot::decode(entity, snapshot)
    }

    fn hydrate<'a>(&'a mut self, store: &'a dyn LogStore) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(snapshot::hydrate(self, store))
    }
}

/// Judges a command. Pure but for the clock, the randomness and the key of the environment.
pub(crate) fn decide(
    room: &Room,
    command: RoomCommand,
    env: &crate::env::Env,
) -> Result<Decision<Room>, RoomError> {
    match command {
        RoomCommand::Create(create) => create::decide(room, env, *create),
        RoomCommand::SendEvent(send) => send_event::decide(room, env, *send),
        RoomCommand::Redact(redact) => redact::decide(room, env, *redact),
        RoomCommand::ChangeMembership(change) => membership::decide(room, env, *change),
        RoomCommand::TakeIn(take) => receive::take_in(room, *take),
        RoomCommand::ParkPdus(park) => parked::park(room, env.now_ms(), *park),
        RoomCommand::ReleasePdus(event_ids) => Ok(parked::release(room, &event_ids)),
        RoomCommand::Tell(membership) => told::decide(room, *membership),
        RoomCommand::MoveReceipts(moves) => receipt::decide(room, env, moves),
        // It needs the operator's settings, and has been judged with them.
        RoomCommand::Expire(_) => Ok(Decision::unchanged(RoomReply::Done)),
        RoomCommand::Purge(purge, targets) => {
            Ok(purge::decide(room, env.server_name(), &purge, targets))
        }
        RoomCommand::Empty => Ok(empty::decide(room, env.now_ms())),
        RoomCommand::Clear(sequences) => Ok(empty::clear(sequences)),
        RoomCommand::SetDirectoryVisibility { user_id, public } => {
            directory::decide(room, user_id.as_deref(), public)
        }
    }
}
