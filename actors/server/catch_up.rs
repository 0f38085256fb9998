//! Catching up: what a destination missed while it could not be reached, room by room.

use std::time::Duration;

use playhouse_schema::{
    address::{Entity, Family, Position, Shard, ShardNumber},
    models::{
        Model as _, device_lists, device_lists::DeviceLists, memberships::Memberships,
        partial_rooms::PartialRooms, server_rooms, server_rooms::ServerRooms, to_device_out,
        to_device_out::ToDeviceOut,
    },
    port::StoreError,
    record::{
        room::ReceiptMoved,
        server::{Lag, ToDeviceRef},
    },
};
use ruma::UserId;

use super::{
    body::{self, Batch, EDUS_MAX, EVENTS_MAX},
    delivery::{Delivery, Halt},
    devices,
    space::Space,
};
use crate::room::{OutgoingQuery, RoomAnswer, RoomQuery};

/// So many rooms are looked at together.
const ROOMS_AT_ONCE: usize = 500;

/// So many to-device messages go into one transaction.
const SENDINGS_MAX: usize = 50;

/// So many changes of devices go into one transaction: receivers work through each. A change may be one of many devices.
const DEVICE_EDUS_MAX: usize = EDUS_MAX / 2;

/// So many users' changes of devices are looked for at once, the oldest first. In tests few, so that there are several pages.
const DEVICE_LISTS_AT_ONCE: usize = if cfg!(test) { 1 } else { 1_000 };

/// How long models may take to come to where the log is, and how often that is looked at.
const MODELS_WAIT: (Duration, u32) = (Duration::from_millis(10), 1_000);

/// A transaction of catching up that is being filled.
#[derive(Default)]
struct Filling {
    batch: Batch,
    events: usize,
    receipts: Vec<(String, ReceiptMoved)>,
}

impl Filling {
    fn finish(&mut self) -> Batch {
        let full = std::mem::take(self);
        let mut batch = full.batch;
        let receipts = full.receipts.iter();
        let edus = body::receipt_edus(receipts.map(|(room_id, moved)| (room_id.as_str(), moved)));
        let edus = edus.into_iter().take(EDUS_MAX);
        batch
            .departed
            .edus
            .extend(edus.map(|edu| edu.to_string().into_bytes().into()));
        batch
    }

    fn is_empty(&self) -> bool {
        self.batch.departed == Default::default() && self.receipts.is_empty()
    }
}

fn at(positions: &[(ShardNumber, Position)], number: ShardNumber) -> Position {
    let found = positions.iter().find(|(known, _)| *known == number);
    found.map_or(0, |(_, position)| *position)
}

impl Delivery {
    /// One round.
    pub(super) async fn catch_up(&mut self) -> Result<(), Halt> {
        let Some(target) = self.slot.begin_round(&self.context.board) else {
            tokio::time::sleep(MODELS_WAIT.0).await;
            return Ok(());
        };
        self.await_models(&target).await?;
        self.catch_up_rooms(&target).await?;
        self.catch_up_users(&target).await?;
        self.end_round(target).await
    }

    async fn await_models(&self, target: &Lag) -> Result<(), Halt> {
        let rooms = &[ServerRooms::NAME, Memberships::NAME, PartialRooms::NAME][..];
        let users = &[ToDeviceOut::NAME, DeviceLists::NAME][..];
        for (family, names, positions) in [
            (Family::Rooms, rooms, &target.rooms),
            (Family::Users, users, &target.users),
        ] {
            for (number, position) in positions {
                let number = *number;
                for &name in names {
                    self.await_model(name, Shard { family, number }, *position)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn await_model(
        &self,
        name: &'static str,
        shard: Shard,
        position: Position,
    ) -> Result<(), Halt> {
        let (pause, times) = MODELS_WAIT;
        for _ in 0..times {
            if self.context.models.folded(name, shard) >= position {
                return Ok(());
            }
            self.context.models.urge(name, shard.family);
            tokio::time::sleep(pause).await;
        }
        Err(Halt::Trouble(format!("{name} lags")))
    }

    async fn catch_up_rooms(&mut self, target: &Lag) -> Result<(), Halt> {
        let mut filling = Filling::default();
        let mut after = String::new();
        loop {
            let models = self.context.store.models();
            let rooms =
                server_rooms::of_server(&*models, self.name.as_str(), &after, ROOMS_AT_ONCE)
                    .await?;
            let Some(last) = rooms.last() else {
                break;
            };
            after.clone_from(last);
            let entities: Vec<_> = rooms.iter().map(|room_id| Entity::room(room_id)).collect();
            let heads = self.context.store.entity_heads(&entities).await?;
            for (room_id, head) in rooms.into_iter().zip(heads) {
                let Some(head) = head else {
                    continue;
                };
                let from = self.reached(&room_id, head.shard.number);
                let until = at(&target.rooms, head.shard.number);
                if head.position > from && from < until {
                    self.catch_up_room(&mut filling, &room_id, (from, until))
                        .await?;
                }
            }
        }
        if filling.is_empty() {
            return Ok(());
        }
        self.send(filling.finish()).await
    }

    /// Up to where the destination has everything of a room.
    fn reached(&self, room_id: &str, shard: ShardNumber) -> Position {
        let lag = self.state.lag.as_ref();
        let from = lag.map_or(0, |lag| at(&lag.rooms, shard));
        self.state
            .caught
            .get(room_id)
            .copied()
            .unwrap_or(0)
            .max(from)
    }

    async fn catch_up_room(
        &mut self,
        filling: &mut Filling,
        room_id: &str,
        (from, until): (Position, Position),
    ) -> Result<(), Halt> {
        let mut from = from;
        while from < until {
            let query = OutgoingQuery {
                destination: self.name.clone(),
                origin: self.context.env.server_name().to_owned(),
                after: from,
                until,
                limit: EVENTS_MAX.saturating_sub(filling.events).max(1),
            };
            let query = RoomQuery::Outgoing(Box::new(query));
            let entity = Entity::room(room_id);
            let RoomAnswer::Outgoing(found) = self.context.rooms.query(entity, query).await? else {
                return Err(Halt::Trouble("unexpected answer to Outgoing".to_owned()));
            };
            from = found.upto;
            if !found.events.is_empty() || !found.receipts.is_empty() {
                for sequence in found.events {
                    // What sticks to a room comes on top of the limit.
                    if filling.events >= EVENTS_MAX {
                        self.send(filling.finish()).await?;
                    }
                    filling.events += 1;
                    body::add_event(&mut filling.batch.departed.events, room_id, sequence);
                }
                let progress = &mut filling.batch.departed.progress.rooms;
                progress.retain(|(known, _)| known != room_id);
                progress.push((room_id.to_owned(), from));
                let receipts = found.receipts.into_iter();
                filling
                    .receipts
                    .extend(receipts.map(|moved| (room_id.to_owned(), moved)));
            }
            if filling.events >= EVENTS_MAX || filling.receipts.len() >= EDUS_MAX {
                self.send(filling.finish()).await?;
            }
        }
        Ok(())
    }

    async fn catch_up_users(&mut self, target: &Lag) -> Result<(), Halt> {
        for (number, until) in target.users.clone() {
            let lag = self.state.lag.as_ref();
            let mut from = lag.map_or(0, |lag| at(&lag.users, number));
            while from < until {
                from = self.catch_up_shard(number, (from, until)).await?;
            }
        }
        Ok(())
    }

    /// A stretch of a shard of users, as long as the changes of devices in it are not too many. How far it comes; who breaks off goes on from there.
    async fn catch_up_shard(
        &mut self,
        number: ShardNumber,
        (from, until): (Position, Position),
    ) -> Result<Position, Halt> {
        let lists = self.device_lists(number, (from, until)).await?;
        let is_all = lists.len() < DEVICE_LISTS_AT_ONCE;
        let last = lists.last().filter(|_| !is_all);
        let reached = last.map_or(until, |change| change.position);
        // Sending to-device messages moves the position from which both are read, and so it comes after. Where there are none, something else must move it.
        let models = self.context.store.models();
        let whose = (self.name.as_str(), number);
        let waiting = to_device_out::waiting(&*models, whose, (from, reached), 1).await?;
        let progress = (!is_all && waiting.is_empty()).then_some((number, reached));
        self.catch_up_device_lists(lists, progress).await?;
        self.catch_up_to_device(number, (from, reached)).await?;
        Ok(reached)
    }

    async fn catch_up_to_device(
        &mut self,
        number: ShardNumber,
        (from, until): (Position, Position),
    ) -> Result<(), Halt> {
        let mut from = from;
        loop {
            let models = self.context.store.models();
            let whose = (self.name.as_str(), number);
            let mut page =
                to_device_out::waiting(&*models, whose, (from, until), SENDINGS_MAX).await?;
            let mut sizes = Vec::with_capacity(page.len());
            for waiting in &page {
                let sending = (waiting.user_id.as_str(), waiting.sequence);
                sizes.push(body::sending_bytes(&*self.context.store, sending).await?);
            }
            page.truncate(Space::of(0, SENDINGS_MAX).fitting(sizes));
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = last.position;
            let mut batch = Batch::default();
            let sendings = page.into_iter().map(|waiting| ToDeviceRef {
                user_id: waiting.user_id,
                sequence: waiting.sequence,
            });
            batch.departed.to_device.extend(sendings);
            batch.departed.progress.users.push((number, from));
            self.send(batch).await?;
        }
    }

    async fn device_lists(
        &self,
        number: ShardNumber,
        interval: (Position, Position),
    ) -> Result<Vec<device_lists::DeviceListChange>, StoreError> {
        let models = self.context.store.models();
        let own = self.context.env.server_name().as_str();
        let whose = (own, self.name.as_str(), number);
        device_lists::of_neighbours_of_server(&*models, whose, interval, DEVICE_LISTS_AT_ONCE).await
    }

    /// Tells the newest change of each user: who finds a gap before it asks for the whole list. The last transaction brings the destination so far.
    async fn catch_up_device_lists(
        &mut self,
        changes: Vec<device_lists::DeviceListChange>,
        progress: Option<(ShardNumber, Position)>,
    ) -> Result<(), Halt> {
        let empty = Space::of(0, DEVICE_EDUS_MAX);
        let (mut batch, mut space) = (Batch::default(), empty);
        for change in changes {
            let Ok(user_id) = UserId::parse(&change.user_id) else {
                continue;
            };
            let shard = Shard {
                family: Family::Users,
                number: change.shard,
            };
            let before = change.position.saturating_sub(1);
            let found = self.context.store.read_shard(shard, before, 1).await?;
            if let Some(record) = found.first() {
                for edu in devices::newest_edus(&self.context, &user_id, record).await? {
                    let edu = edu.to_string().into_bytes();
                    if !space.take(1, edu.len()) {
                        if !batch.departed.edus.is_empty() {
                            self.send(std::mem::take(&mut batch)).await?;
                        }
                        space = empty;
                        space.take(1, edu.len());
                    }
                    batch.departed.edus.push(edu.into());
                }
            }
        }
        batch.departed.progress.users.extend(progress);
        if batch.departed == Default::default() {
            return Ok(());
        }
        self.send(batch).await
    }
}
