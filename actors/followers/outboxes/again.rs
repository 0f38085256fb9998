//! What was parked, tried again: because somebody wants it, or because another program could not read it.
//!
//! What it means lies before what is read by now, so it cannot wait on the board with the rest. Each destination is told what it is owed, which it records;
//! then nothing is parked any more. Told twice it is sent twice at worst: events, messages and receipts that a server has already do no harm.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Family, Position, Sequence, Shard},
    models::parked::Parked,
    port::{StoreError, StoredRecord},
    record::{
        room::ReceiptMoved,
        server::{EventRun, Owed, ToDeviceRef},
    },
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};

use super::{Follower, NAME, audience::Audience, reading::AGAIN};
use crate::{
    followers::task::{Stop, Stopped, park},
    room::{RoomAnswer, RoomError, RoomQuery},
    server::{ServerCommand, ServerError, ServerReply, board::Direct},
};

/// So many destinations are told at once.
const AT_ONCE: usize = 64;

/// What a record means for destinations.
type Meaning = Vec<(OwnedServerName, Owed)>;

impl Follower {
    /// Reads again what another program has parked, or what somebody wants it to.
    pub(super) async fn retry(&mut self, stop: &mut Stop) -> Result<(), Stopped> {
        // Another node has the destinations, and does this.
        if self.parts.board.is_void() {
            self.lookout.put_off();
            return Ok(());
        }
        let parked = match self.lookout.look(&*self.store).await {
            Ok(parked) => parked,
            Err(error) => {
                tracing::warn!(follower = NAME, %error, "cannot read what is parked");
                return Ok(());
            }
        };
        let places: BTreeSet<_> = parked.iter().map(place_of).collect();
        self.told.retain(|place, _| places.contains(place));
        for parked in parked {
            if let Err(error) = self.retry_one(&parked, stop).await? {
                tracing::warn!(
                    follower = NAME, shard = %parked.shard, position = parked.position, error,
                    "cannot make up for what was parked, will try again"
                );
            }
        }
        Ok(())
    }

    /// One of them. `Err`: it stays parked, and is tried again.
    async fn retry_one(
        &mut self,
        parked: &Parked,
        stop: &mut Stop,
    ) -> Result<Result<(), String>, Stopped> {
        let record = match parked.record(&*self.store).await {
            Ok(record) => record.filter(|record| record.position == parked.position),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut statements = vec![parked.release()];
        if let Some(record) = record {
            match self.read_again(&record, stop).await? {
                Ok(meaning) => {
                    if let Err(error) = self.owe(parked, meaning).await {
                        return Ok(Err(error));
                    }
                }
                Err(error) => statements.push(park(NAME, &record, &error).park()),
            }
        }
        metrics::gauge!("playhouse_parked_records", "reader" => NAME).decrement(1.0);
        let released = self.store.models().apply(statements, Vec::new()).await;
        if released.is_ok() {
            self.told.remove(&place_of(parked));
        }
        Ok(released.map_err(|error| error.to_string()))
    }

    /// What a record means, for whom it meant that when it was written.
    async fn read_again(
        &mut self,
        record: &StoredRecord,
        stop: &mut Stop,
    ) -> Result<Result<Meaning, StoreError>, Stopped> {
        // What is known of rooms is as of the record that was read last.
        let own = self.parts.env.server_name().to_owned();
        let audience = std::mem::replace(&mut self.audience, Audience::new(own));
        self.again = Some(Default::default());
        let read = match record.shard.family {
            Family::Rooms => self.read_room(record, stop).await,
            _ => self.read_user(record, stop).await,
        };
        self.audience = audience;
        let owed = self.again.take().unwrap_or_default();
        let (family, number) = (record.shard.family, record.shard.number);
        let named = owed.into_iter().map(|(name, owed)| {
            let record = (family.name().to_owned(), number, record.position);
            (name, Owed { record, ..owed })
        });
        Ok(read?.map(|()| named.collect()))
    }

    /// Tells destinations what they are owed, each once while something is parked. `Err`: some could not be told.
    async fn owe(&mut self, parked: &Parked, mut meaning: Meaning) -> Result<(), String> {
        let told = self.told.entry(place_of(parked)).or_default();
        meaning.retain(|(name, _)| !told.contains(name));
        let mut failed = None;
        for some in meaning.chunks(AT_ONCE) {
            let mut telling = Vec::with_capacity(some.len());
            for (name, owed) in some {
                let entity = Entity::server(name.as_str());
                let command = ServerCommand::Owe(Box::new(owed.clone()));
                telling.push(self.parts.servers.command(entity, command));
            }
            for ((name, _), answer) in some.iter().zip(join_all(telling).await) {
                match is_owed(answer) {
                    Ok(true) => {}
                    Ok(false) => tracing::warn!(
                        follower = NAME, server = %name, shard = %parked.shard, position = parked.position,
                        "what was parked is not sent to a destination that is owed too much already"
                    ),
                    Err(error) => {
                        failed = Some(error);
                        continue;
                    }
                }
                told.insert(name.clone());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether something parked is read.
    pub(super) fn is_again(&self) -> bool {
        self.again.is_some()
    }

    fn owe_each(&mut self, to: &BTreeSet<OwnedServerName>, put: impl Fn(&mut Owed)) {
        if let Some(again) = &mut self.again {
            for name in to {
                put(again.entry(name.clone()).or_default());
            }
        }
    }

    /// An event is owed.
    pub(super) fn owe_event(
        &mut self,
        (room_id, sequence): (&OwnedRoomId, Sequence),
        to: &BTreeSet<OwnedServerName>,
    ) {
        self.owe_each(to, |owed| {
            owed.events.push(EventRun {
                room_id: room_id.to_string(),
                sequences: vec![sequence],
            });
        });
    }

    /// A to-device message or a change of devices is owed.
    pub(super) fn owe_direct(
        &mut self,
        (direct, sequence): (&Direct, Sequence),
        to: &BTreeSet<OwnedServerName>,
    ) {
        self.owe_each(to, |owed| match direct {
            Direct::ToDevice(user_id) => owed.to_device.push(ToDeviceRef {
                user_id: user_id.to_string(),
                sequence,
            }),
            Direct::Devices(user_id) => owed.devices.push((user_id.to_string(), sequence)),
            Direct::Arrival(user_id) => owed.arrivals.push(user_id.to_string()),
        });
    }

    /// A receipt is owed, unless it has moved on since.
    pub(super) async fn owe_receipt(
        &mut self,
        (room_id, user_id): (&OwnedRoomId, &OwnedUserId),
        moved: &ReceiptMoved,
        (to, stop): (&BTreeSet<OwnedServerName>, &mut Stop),
    ) -> Result<(), Stopped> {
        if self.is_in_force((room_id, user_id), moved, stop).await? {
            let receipt = (room_id.to_string(), moved.clone());
            self.owe_each(to, |owed| owed.receipts.push(receipt.clone()));
        }
        Ok(())
    }

    /// Whether a receipt is still where it was; insists.
    async fn is_in_force(
        &self,
        (room_id, user_id): (&OwnedRoomId, &OwnedUserId),
        moved: &ReceiptMoved,
        stop: &mut Stop,
    ) -> Result<bool, Stopped> {
        loop {
            let entity = Entity::room(room_id.as_str());
            let query = RoomQuery::OwnReceipts {
                user_id: user_id.clone(),
            };
            match self.parts.rooms.query(entity, query).await {
                Ok(RoomAnswer::Receipts(receipts)) => {
                    let is_it = receipts.iter().any(|receipt| {
                        receipt.thread_id == moved.thread_id
                            && receipt.event_id.as_str() == moved.event_id
                    });
                    return Ok(is_it);
                }
                Ok(_) | Err(RoomError::UnknownRoom) => return Ok(false),
                Err(error) => tracing::warn!(%room_id, %error, "cannot read receipts"),
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }
}

/// Where in the log something parked stands.
fn place_of(parked: &Parked) -> (Shard, Position) {
    (parked.shard, parked.position)
}

/// Whether a destination has taken note of what it is owed. One that cannot, because it is owed so much that it has not been reached for long, goes without: it
/// would have everything that is parked tried for ever.
fn is_owed(answer: Result<ServerReply, ServerError>) -> Result<bool, String> {
    match answer {
        Ok(_) => Ok(true),
        Err(ServerError::TooMuch) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Unavailable;

    #[test]
    fn who_is_owed_too_much_keeps_nothing_parked() {
        assert_eq!(is_owed(Ok(Vec::new())), Ok(true));
        assert_eq!(is_owed(Err(ServerError::TooMuch)), Ok(false));
        let away = ServerError::Unavailable(Unavailable::Timeout);
        assert!(is_owed(Err(away)).is_err());
    }
}
