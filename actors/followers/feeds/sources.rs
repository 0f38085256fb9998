//! What feeds read: rooms, the log and the read models.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Family, Layout, Position, Shard, ShardNumber},
    models::{Model as _, device_lists, memberships},
    port::{LogStore, StoreError},
};
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};

use crate::{
    followers::models::Models,
    kernel::Directory,
    room::{Room, RoomAnswer, RoomError, RoomQuery},
    user::{
        feed::{
            Membership,
            surroundings::{DeviceChange, Sources},
        },
        sync::token::Vector,
    },
};

/// Tells how far read models have come.
pub trait Progress: Send + Sync + 'static {
    /// Waits, bounded, until a model has taken in a position of a shard.
    fn reached(
        &self,
        model: &'static str,
        shard: Shard,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl Progress for Models {
    fn reached(
        &self,
        model: &'static str,
        shard: Shard,
        position: Position,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            Models::reached(self, model, shard, position)
                .await
                .map_err(|error| StoreError::Database(error.to_string()))
        })
    }
}

/// Rooms, log and read models of this node. Cheap to clone.
#[derive(Clone)]
pub struct HouseSources {
    /// The rooms.
    pub rooms: Arc<Directory<Room>>,
    /// The log and the models' database.
    pub store: Arc<dyn LogStore>,
    /// How far the models are.
    pub models: Arc<dyn Progress>,
}

impl HouseSources {
    async fn wait(
        &self,
        model: &'static str,
        family: Family,
        positions: &Vector,
    ) -> Result<(), StoreError> {
        for (number, position) in positions {
            let shard = Shard {
                family,
                number: *number,
            };
            self.models.reached(model, shard, *position).await?;
        }
        Ok(())
    }

    async fn read_memberships(
        self,
        user_id: String,
        at_least: Vector,
    ) -> Result<Vec<memberships::Membership>, StoreError> {
        self.wait(memberships::Memberships::NAME, Family::Rooms, &at_least)
            .await?;
        memberships::of_user(&*self.store.models(), &user_id).await
    }

    async fn read_device_changes(
        self,
        user_id: String,
        after: Vector,
        until: Vector,
    ) -> Result<Vec<DeviceChange>, StoreError> {
        self.wait(device_lists::DeviceLists::NAME, Family::Users, &until)
            .await?;
        let models = self.store.models();
        let at = |vector: &Vector, shard: ShardNumber| vector.get(&shard).copied().unwrap_or(0);
        let mut found = device_lists::of_user(&*models, &user_id)
            .await?
            .into_iter()
            .filter(|own| own.position > at(&after, own.shard))
            .collect::<Vec<_>>();
        for (shard, until) in until {
            let interval = (at(&after, shard), until);
            if interval.0 < interval.1 {
                found.extend(
                    device_lists::of_neighbours(&*models, &user_id, shard, interval).await?,
                );
            }
        }
        let changes = found.into_iter().filter_map(|change| {
            let user_id = UserId::parse(&change.user_id).ok()?;
            Some((user_id, change.shard, change.position))
        });
        Ok(changes.collect())
    }
}

impl Sources for HouseSources {
    fn layout(&self) -> Layout {
        self.store.layout()
    }

    fn heads(&self, family: Family) -> BoxFuture<'static, Result<Vector, StoreError>> {
        let store = self.store.clone();
        Box::pin(async move {
            let known = store.known_heads(family).await?;
            let heads = known.heads.iter();
            let heads = heads.map(|head| (head.shard.number, head.position));
            let silent = known.silent.iter();
            let silent = silent.map(|number| (*number, Position::MAX));
            Ok(heads.chain(silent).collect())
        })
    }

    fn ask_room(
        &self,
        room_id: &RoomId,
        query: RoomQuery,
    ) -> BoxFuture<'static, Result<RoomAnswer, RoomError>> {
        let (rooms, entity) = (self.rooms.clone(), Entity::room(room_id.as_str()));
        Box::pin(async move { rooms.query(entity, query).await })
    }

    fn memberships(
        &self,
        user_id: &UserId,
        at_least: Vector,
    ) -> BoxFuture<'static, Result<Vec<Membership>, StoreError>> {
        let rows = self.clone().read_memberships(user_id.to_string(), at_least);
        Box::pin(async move { Ok(rows.await?.iter().filter_map(membership).collect()) })
    }

    fn newest(
        &self,
        rooms: Vec<OwnedRoomId>,
    ) -> BoxFuture<'static, Result<Vec<Position>, StoreError>> {
        let store = self.store.clone();
        Box::pin(async move {
            let entities: Vec<_> = rooms
                .iter()
                .map(|room_id| Entity::room(room_id.as_str()))
                .collect();
            let heads = store.entity_heads(&entities).await?;
            let position = |head: Option<playhouse_schema::port::EntityHead>| {
                head.map_or(0, |head| head.position)
            };
            Ok(heads.into_iter().map(position).collect())
        })
    }

    fn device_changes(
        &self,
        user_id: &UserId,
        after: Vector,
        until: Vector,
    ) -> BoxFuture<'static, Result<Vec<DeviceChange>, StoreError>> {
        let user_id = user_id.to_string();
        Box::pin(self.clone().read_device_changes(user_id, after, until))
    }

    fn joined_rooms(
        &self,
        user_id: &UserId,
        at_least: Vector,
    ) -> BoxFuture<'static, Result<Vec<OwnedRoomId>, StoreError>> {
        let rows = self.clone().read_memberships(user_id.to_string(), at_least);
        Box::pin(async move {
            let rows = rows.await?.into_iter();
            let joined = rows.filter(|row| row.membership == "join");
            Ok(joined
                .filter_map(|row| RoomId::parse(&row.room_id).ok())
                .collect())
        })
    }
}

fn membership(row: &memberships::Membership) -> Option<Membership> {
    Some(Membership {
        room_id: RoomId::parse(&row.room_id).ok()?,
        shard: row.shard,
        membership: MembershipState::from(row.membership.as_str()),
        sender: UserId::parse(&row.sender).ok(),
        since: row.since_position,
        since_sequence: row.since_sequence,
        own_event: row.position,
        newest: row.position,
        stay: row.stay,
    })
}
