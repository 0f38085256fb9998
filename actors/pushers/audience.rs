//! Which users of this server are in which rooms, as of the record that was read last.
//!
//! A room is asked once; then its member events, which all come by here, keep it right. A state that was resolved makes it be asked again. What is kept is
//! bounded, and made anew when it is too much.

use std::collections::{BTreeSet, HashMap};

use playhouse_schema::address::{Entity, Sequence};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId,
    events::room::member::MembershipState,
};

use crate::{
    kernel::Directory,
    room::{Room, RoomAnswer, RoomError, RoomQuery},
};

/// So many rooms, and so many users in them, are kept in mind.
const KEPT_MAX: (usize, usize) = (50_000, 1_000_000);

/// See the module's documentation.
pub(super) struct Audience {
    own: OwnedServerName,
    rooms: HashMap<OwnedRoomId, BTreeSet<OwnedUserId>>,
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

    /// Whether a user is one of this server's.
    pub(super) fn is_own(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.own
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
        let users = match directory.query(entity, RoomQuery::Servers(after)).await {
            Ok(RoomAnswer::Servers(mut servers)) => servers.remove(&self.own).unwrap_or_default(),
            Ok(_) | Err(RoomError::UnknownRoom) => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        if self.rooms.len() >= KEPT_MAX.0 || self.users >= KEPT_MAX.1 {
            self.rooms.clear();
            self.users = 0;
        }
        self.users += users.len();
        self.rooms.insert(room_id.clone(), users);
        Ok(())
    }

    /// Somebody's membership changed. A room that is not known stays so.
    pub(super) fn changed(&mut self, room_id: &RoomId, user_id: &UserId, to: &MembershipState) {
        if !self.is_own(user_id) {
            return;
        }
        let Some(users) = self.rooms.get_mut(room_id) else {
            return;
        };
        if *to == MembershipState::Join {
            self.users += usize::from(users.insert(user_id.to_owned()));
        } else {
            self.users -= usize::from(users.remove(user_id));
        }
    }

    /// The room's state was resolved. Who was in it.
    pub(super) fn forget(&mut self, room_id: &RoomId) -> BTreeSet<OwnedUserId> {
        let users = self.rooms.remove(room_id).unwrap_or_default();
        self.users -= users.len();
        users
    }

    /// Whether it is known who is in a room.
    pub(super) fn knows(&self, room_id: &RoomId) -> bool {
        self.rooms.contains_key(room_id)
    }

    /// The users of this server in a room.
    pub(super) fn of(&self, room_id: &RoomId) -> impl Iterator<Item = &OwnedUserId> {
        self.rooms.get(room_id).into_iter().flatten()
    }
}
