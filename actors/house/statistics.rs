//! Lists and numbers for administrators, from read models.

use std::collections::{BTreeMap, BTreeSet};

use playhouse_schema::{
    address::Entity,
    models::{
        Model as _,
        device_sightings::{self, DeviceSightings},
        media::Media,
        media_statistics::{self, Uploads},
        membership_acts::{self, MembershipActs},
        memberships::Memberships,
        retention::{self, Retention},
        rooms::{self, Rooms},
        users::Users,
    },
    port::EntityRange,
};
use ruma::{RoomId, UserId};

use super::{House, HouseError};

/// So many rooms are looked at to find the largest, in pages of so many.
const LOOKED_AT: (usize, usize) = (10_000, 500);

/// So many of the largest are told.
const LARGEST: usize = 10;

/// So many records of a room tell how large its records are.
const SAMPLE: usize = 200;

/// A room's name and canonical alias.
pub type RoomNames = rooms::Names;

impl House {
    /// A page of the rooms that are wanted, and how many there are in all.
    pub async fn find_rooms(
        &self,
        wanted: &rooms::Wanted,
    ) -> Result<(Vec<rooms::Listed>, u64), HouseError> {
        self.models.caught_up(Rooms::NAME).await?;
        self.models.caught_up(Memberships::NAME).await?;
        Ok(rooms::find(&**self.models.store(), wanted).await?)
    }

    /// What a room is like, if it is known here.
    pub async fn listed_room(&self, room_id: &RoomId) -> Result<Option<rooms::Listed>, HouseError> {
        self.models.caught_up(Rooms::NAME).await?;
        self.models.caught_up(Memberships::NAME).await?;
        let store = &**self.models.store();
        let own = self.env.server_name().as_str();
        Ok(rooms::get(store, own, room_id.as_str()).await?)
    }

    /// What rooms are called: name and canonical alias of each that is known here. None of them is woken for it.
    pub async fn room_names(
        &self,
        room_ids: BTreeSet<String>,
    ) -> Result<BTreeMap<String, RoomNames>, HouseError> {
        self.models.caught_up(Rooms::NAME).await?;
        let store = &**self.models.store();
        let mut known = BTreeMap::new();
        for room_id in room_ids {
            if let Some(names) = rooms::names(store, &room_id).await? {
                known.insert(room_id, names);
            }
        }
        Ok(known)
    }

    /// How many devices of users of this server are in a room.
    pub async fn devices_in_room(&self, room_id: &RoomId) -> Result<u64, HouseError> {
        self.models.caught_up(DeviceSightings::NAME).await?;
        self.models.caught_up(Memberships::NAME).await?;
        let store = &**self.models.store();
        Ok(device_sightings::in_room(store, room_id.as_str()).await?)
    }

    /// How many invites a user has sent since then.
    pub async fn sent_invites(&self, user_id: &UserId, since_ms: u64) -> Result<u64, HouseError> {
        self.models.caught_up(MembershipActs::NAME).await?;
        let store = &**self.models.store();
        Ok(membership_acts::invites(store, user_id.as_str(), since_ms).await?)
    }

    /// Into how many rooms a user has come since then.
    pub async fn rooms_joined_since(
        &self,
        user_id: &UserId,
        since_ms: u64,
    ) -> Result<u64, HouseError> {
        self.models.caught_up(MembershipActs::NAME).await?;
        let store = &**self.models.store();
        Ok(membership_acts::joined_rooms(store, user_id.as_str(), since_ms).await?)
    }

    /// A page of the users who uploaded something, and how many there are in all.
    pub async fn uploads_by_user(
        &self,
        wanted: &media_statistics::Wanted,
    ) -> Result<(Vec<Uploads>, u64), HouseError> {
        self.models.caught_up(Media::NAME).await?;
        self.models.caught_up(Users::NAME).await?;
        Ok(media_statistics::find(&**self.models.store(), wanted).await?)
    }

    /// The rooms with the most records and about how many bytes these have, the largest first.
    pub async fn largest_rooms(&self) -> Result<Vec<(String, u64)>, HouseError> {
        let mut largest = self.longest_rooms().await?;
        largest.sort_by_key(|(_, records)| std::cmp::Reverse(*records));
        largest.truncate(LARGEST);
        let mut sized = Vec::with_capacity(largest.len());
        for (room_id, records) in largest {
            let bytes = self.bytes_about(&room_id, records).await?;
            sized.push((room_id, bytes));
        }
        sized.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        Ok(sized)
    }

    /// How many records each room has.
    async fn longest_rooms(&self) -> Result<Vec<(String, u64)>, HouseError> {
        self.models.caught_up(Retention::NAME).await?;
        let (most, page) = LOOKED_AT;
        let (mut found, mut after) = (Vec::new(), String::new());
        while found.len() < most {
            let store = &**self.models.store();
            let rooms = retention::rooms_after(store, &after, true, page).await?;
            let Some(last) = rooms.last() else { break };
            after.clone_from(last);
            let entities: Vec<_> = rooms.iter().map(|room_id| Entity::room(room_id)).collect();
            let heads = self.store.entity_heads(&entities).await?;
            let records = heads
                .into_iter()
                .map(|head| head.map_or(0, |head| head.sequence));
            found.extend(rooms.into_iter().zip(records));
        }
        Ok(found)
    }

    /// About how many bytes so many records of a room have, by its newest.
    async fn bytes_about(&self, room_id: &str, records: u64) -> Result<u64, HouseError> {
        let range = EntityRange {
            from: 1,
            to: u64::MAX >> 1,
            backwards: true,
            limit: SAMPLE,
        };
        let sample = self
            .store
            .read_entity(&Entity::room(room_id), range)
            .await?;
        let bytes: usize = sample.iter().map(|record| record.payload.len()).sum();
        let each = bytes as u64 / sample.len().max(1) as u64;
        Ok(each.saturating_mul(records))
    }
}
