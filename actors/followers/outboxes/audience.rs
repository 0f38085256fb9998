//! Which servers are in which rooms, as of the record that was read last.
//!
//! A room is asked once; then its member events, which all come by here, keep it right. A state that was resolved makes it be asked again. What is kept is
//! bounded, and made anew when it is too much.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use playhouse_schema::address::{Entity, Sequence};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::room::member::MembershipState,
};

use crate::{
    kernel::Directory,
    room::{Room, RoomAnswer, RoomError, RoomQuery},
};

/// So many rooms, and so many users of other servers in them, are kept in mind.
const KEPT_MAX: (usize, usize) = (50_000, 500_000);

type Servers = BTreeMap<OwnedServerName, BTreeSet<OwnedUserId>>;

/// See the module's documentation.
pub(super) struct Audience {
    own: OwnedServerName,
    rooms: HashMap<OwnedRoomId, Servers>,
    users: usize,
}

impl Audience {
    /// Nobody is known yet.
    pub(super) fn new(own: OwnedServerName) -> Self {
        Self {
            own,
            rooms: HashMap::new(),
            users: 0,
        }
    }

    /// Learns who is in a room just after one of its records, unless that is known.
    pub(super) async fn learn(
        &mut self,
        directory: &Directory<Room>,
        room_id: &OwnedRoomId,
        after: Sequence,
    ) -> Result<(), RoomError> {
        if self.rooms.contains_key(room_id) {
            return Ok(());
        }
        let entity = Entity::room(room_id.as_str());
        let mut servers = match directory.query(entity, RoomQuery::Servers(after)).await {
            Ok(RoomAnswer::Servers(servers)) => servers,
            Ok(_) | Err(RoomError::UnknownRoom) => Servers::new(),
            Err(error) => return Err(error),
        };
        servers.remove(&self.own);
        if self.rooms.len() >= KEPT_MAX.0 || self.users >= KEPT_MAX.1 {
            self.rooms.clear();
            self.users = 0;
        }
        self.users += servers.values().map(BTreeSet::len).sum::<usize>();
        self.rooms.insert(room_id.clone(), servers);
        Ok(())
    }

    /// Somebody's membership changed. A room that is not known stays so.
    pub(super) fn changed(&mut self, room_id: &RoomId, user_id: &UserId, to: &MembershipState) {
        let Some(servers) = self.rooms.get_mut(room_id) else {
            return;
        };
        if user_id.server_name() == self.own {
            return;
        }
        if *to == MembershipState::Join {
            let users = servers.entry(user_id.server_name().to_owned()).or_default();
            self.users += usize::from(users.insert(user_id.to_owned()));
        } else if let Some(users) = servers.get_mut(user_id.server_name()) {
            self.users -= usize::from(users.remove(user_id));
            if users.is_empty() {
                servers.remove(user_id.server_name());
            }
        }
    }

    /// The room's state was resolved.
    pub(super) fn forget(&mut self, room_id: &RoomId) {
        if let Some(servers) = self.rooms.remove(room_id) {
            self.users -= servers.values().map(BTreeSet::len).sum::<usize>();
        }
    }

    /// Whether it is known who is in a room.
    pub(super) fn knows(&self, room_id: &RoomId) -> bool {
        self.rooms.contains_key(room_id)
    }

    /// Whether it is known that no other server is in a room.
    pub(super) fn is_empty(&self, room_id: &RoomId) -> bool {
        self.rooms.get(room_id).is_some_and(BTreeMap::is_empty)
    }

    /// The other servers in a room.
    pub(super) fn of(&self, room_id: &RoomId) -> impl Iterator<Item = &OwnedServerName> {
        self.rooms
            .get(room_id)
            .into_iter()
            .flat_map(|servers| servers.keys())
    }

    /// Whether a server is another one.
    pub(super) fn is_other(&self, server: &ServerName) -> bool {
        server != self.own
    }
}
