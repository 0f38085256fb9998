//! What other servers read here that concerns more than one actor.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use playhouse_schema::{
    address::{Family, Shard},
    models::{
        Model as _,
        device_lists::{self, DeviceLists},
    },
};
use ruma::{
    EventId, OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId, room::RoomSummary,
};

use super::{
    FoundKeys, House, HouseError, SeenRoom,
    space::{is_open, is_restricted},
    surprise,
};
use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::RoomAccess,
        peer::{PeerAnswer, PeerQuery, PeerQuestion, PeerStanding},
    },
    server::newest_device_change,
    user::{UserAnswer, UserQuery, answer::without_name, message::IdentityKeys},
};

/// A user's devices as another server is told of them.
#[derive(Clone, Debug)]
pub struct PeerDevices {
    /// Which state of the list this is: the ID under which other servers are told of the newest change, 0 when there was none. The list may be newer.
    pub stream_id: u64,
    /// The keys.
    pub keys: IdentityKeys,
}

/// A space as another server sees it.
#[derive(Clone, Debug)]
pub struct PeerSpace {
    /// The space itself.
    pub room: SeenRoom,
    /// Its rooms that the server may see.
    pub children: Vec<RoomSummary>,
    /// Its rooms that are here, but that the server may not see.
    pub inaccessible: Vec<OwnedRoomId>,
}

impl House {
    /// Asks a room for another server.
    pub async fn room_for_peer(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        question: PeerQuestion,
    ) -> Result<PeerAnswer, HouseError> {
        let query = RoomQuery::Peer(Box::new(PeerQuery {
            server: server.to_owned(),
            question,
        }));
        match self.room_query(room_id, query).await? {
            RoomAnswer::Peer(answer) => Ok(*answer),
            _ => Err(surprise("Peer")),
        }
    }

    /// An event for another server, in whichever room it is.
    pub async fn event_for_peer(
        &self,
        server: &ServerName,
        event_id: &EventId,
    ) -> Result<Bytes, HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let room_id = stored.and_then(|stored| RoomId::parse(stored.entity.name()).ok());
        let room_id = room_id.ok_or(RoomError::NotFound)?;
        let question = PeerQuestion::Event {
            event_id: event_id.to_owned(),
        };
        match self.room_for_peer(server, &room_id, question).await? {
            PeerAnswer::Events(mut events) => Ok(events.pop().ok_or(RoomError::NotFound)?),
            _ => Err(surprise("Event")),
        }
    }

    /// A room that another server may see from outside, and how the server stands to it; `UnknownRoom` otherwise.
    pub async fn room_seen_by_peer(
        &self,
        server: &ServerName,
        room_id: &RoomId,
    ) -> Result<(RoomAccess, PeerStanding), HouseError> {
        let nobody = nobody(server)?;
        let access = self.room_access(room_id, &nobody).await?;
        let standing = self.standing_of_peer(server, room_id).await?;
        if is_open(&access) || standing.joined || standing.invited {
            return Ok((access, standing));
        }
        if is_restricted(&access) {
            for allowed in &access.allowed_rooms {
                match self.standing_of_peer(server, allowed).await {
                    Ok(inside) if inside.joined => return Ok((access, standing)),
                    Ok(_) | Err(HouseError::Room(RoomError::UnknownRoom)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Err(RoomError::UnknownRoom.into())
    }

    /// How a server stands to a room; `UnknownRoom` for one in which nobody of this server is: what is known of that may be long past.
    async fn standing_of_peer(
        &self,
        server: &ServerName,
        room_id: &RoomId,
    ) -> Result<PeerStanding, HouseError> {
        if !self.room_gate(room_id, server).await?.inhabited {
            return Err(RoomError::UnknownRoom.into());
        }
        let question = PeerQuestion::Standing;
        match self.room_for_peer(server, room_id, question).await? {
            PeerAnswer::Standing(standing) => Ok(standing),
            _ => Err(surprise("Standing")),
        }
    }

    /// A space and its rooms, as far as another server may see them and they are here. `UnknownRoom` when it may not see the space.
    pub async fn hierarchy_for_peer(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        suggested_only: bool,
    ) -> Result<PeerSpace, HouseError> {
        let (access, _) = self.room_seen_by_peer(server, room_id).await?;
        let listed = self.children(room_id, &access, suggested_only).await?;
        let (mut children, mut inaccessible) = (Vec::new(), Vec::new());
        for child in &listed {
            match self.room_seen_by_peer(server, &child.room_id).await {
                Ok((access, _)) => children.push(access.into_summary(child.room_id.clone())),
                Err(HouseError::Room(RoomError::UnknownRoom)) => {
                    let gate = self.room_gate(&child.room_id, server).await;
                    if gate.is_ok_and(|gate| gate.inhabited) {
                        inaccessible.push(child.room_id.clone());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let room = SeenRoom {
            summary: access.into_summary(room_id.to_owned()),
            children: listed.into_iter().map(|child| child.event).collect(),
        };
        Ok(PeerSpace {
            room,
            children,
            inaccessible,
        })
    }

    /// The devices of a local user.
    pub async fn devices_for_peer(&self, user_id: &UserId) -> Result<PeerDevices, HouseError> {
        // Before the keys: what changes meanwhile is told again.
        self.models.caught_up(DeviceLists::NAME).await?;
        let store = &**self.models.store();
        let stream_id = match device_lists::of_user(store, user_id.as_str()).await? {
            Some(change) => self.newest_change(user_id, &change).await?,
            None => 0,
        };
        let query = UserQuery::IdentityKeys(Vec::new());
        match self.user_query(user_id, query).await? {
            UserAnswer::IdentityKeys(keys) => Ok(PeerDevices {
                stream_id,
                keys: if self.config.outbox.device_names {
                    *keys
                } else {
                    keys.without_names()
                },
            }),
            _ => Err(surprise("IdentityKeys")),
        }
    }

    async fn newest_change(
        &self,
        user_id: &UserId,
        change: &device_lists::DeviceListChange,
    ) -> Result<u64, HouseError> {
        let shard = Shard {
            family: Family::Users,
            number: change.shard,
        };
        let before = change.position.saturating_sub(1);
        let found = self.store.read_shard(shard, before, 1).await?;
        match found.first() {
            Some(record) => Ok(newest_device_change(&*self.store, user_id, record.sequence).await?),
            None => Ok(0),
        }
    }

    /// Identity keys of local users; an empty list asks for all devices of the user.
    pub async fn keys_for_peer(
        &self,
        server: &ServerName,
        mut wanted: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<FoundKeys, HouseError> {
        // Nobody is asked on behalf of another server.
        wanted.retain(|user_id, _| self.is_local(user_id.server_name()));
        let asker = nobody(server)?;
        let mut found = self.query_keys(&asker, wanted, Duration::ZERO).await?;
        if !self.config.outbox.device_names {
            let devices = found.device_keys.values_mut();
            for keys in devices.flat_map(BTreeMap::values_mut) {
                *keys = without_name(keys);
            }
        }
        Ok(found)
    }
}

/// A user ID of a server that nobody has.
fn nobody(server: &ServerName) -> Result<OwnedUserId, HouseError> {
    UserId::parse(format!("@:{server}")).map_err(|error| HouseError::Broken(error.to_string()))
}
