//! What a server is sent that comes into a room: those events of our users that stick to it (MSC4354).

use playhouse_schema::{
    address::{Entity, Sequence},
    port::StoredRecord,
};
use ruma::{OwnedRoomId, UserId};

use super::{
    Follower,
    reading::{AGAIN, place},
};
use crate::{
    followers::task::{Stop, Stopped},
    room::{RoomAnswer, RoomError, RoomQuery},
    server::board::Place,
};

impl Follower {
    /// A user has joined a room: where the events lie that the user's server is to be sent if it comes into the room with that. They wait at the place of the
    /// join, which is read again should they be lost.
    pub(super) async fn sticky_for(
        &mut self,
        (record, room_id): (&StoredRecord, &OwnedRoomId),
        user_id: &UserId,
        stop: &mut Stop,
    ) -> Result<Vec<Place>, Stopped> {
        let server = user_id.server_name();
        let is_present = |follower: &Self| follower.audience.of(room_id).any(|name| name == server);
        if !self.audience.is_other(server) || is_present(self) {
            return Ok(Vec::new());
        }
        let sticky = self.sticky_before(record, stop).await?;
        if sticky.is_empty() {
            return Ok(Vec::new());
        }
        self.learn(room_id, record.sequence.saturating_sub(1), stop)
            .await?;
        if is_present(self) {
            return Ok(Vec::new());
        }
        let at = |sequence| Place {
            sequence,
            ..place(record)
        };
        Ok(sticky.into_iter().map(at).collect())
    }

    /// What of our users' sticks to a room and was recorded before; insists.
    async fn sticky_before(
        &self,
        record: &StoredRecord,
        stop: &mut Stop,
    ) -> Result<Vec<Sequence>, Stopped> {
        loop {
            let entity = Entity::clone(&record.entity);
            let query = RoomQuery::Sticky {
                origin: self.parts.env.server_name().to_owned(),
                until: record.sequence,
            };
            match self.parts.rooms.query(entity, query).await {
                Ok(RoomAnswer::Outgoing(found)) => return Ok(found.events),
                Ok(_) | Err(RoomError::UnknownRoom) => return Ok(Vec::new()),
                Err(error) => {
                    tracing::warn!(entity = %record.entity, %error, "cannot learn what sticks to a room");
                }
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }
}
