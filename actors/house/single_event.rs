//! Finding an event by its ID alone.

use bytes::Bytes;
use playhouse_schema::address::Family;
use ruma::{EventId, RoomId};

use super::{House, HouseError, purges::event, surprise};
use crate::room::{
    RoomAnswer, RoomError, RoomQuery, message::Reader, query::client_form::federation_form,
};

impl House {
    /// An event as servers exchange it, with its ID, whoever may see it. What was rejected does not exist.
    pub async fn event_as_sent(&self, event_id: &EventId) -> Result<Bytes, HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let event = stored.and_then(|stored| event(&stored));
        let event = event.filter(|event| !event.pdu.rejected);
        Ok(federation_form(&event.ok_or(RoomError::NotFound)?))
    }

    /// An event that the reader may see, in whichever room it is. What may not be seen does not exist.
    pub async fn event_anywhere(
        &self,
        reader: Reader,
        event_id: &EventId,
    ) -> Result<Bytes, HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let room_id = stored.and_then(|stored| RoomId::parse(stored.entity.name()).ok());
        let room_id = room_id.ok_or(RoomError::NotFound)?;
        let event_id = event_id.to_owned();
        match self
            .room_query(&room_id, RoomQuery::Event { reader, event_id })
            .await
        {
            Ok(RoomAnswer::Event(event)) => Ok(event),
            Ok(_) => Err(surprise("Event")),
            Err(RoomError::Forbidden(_)) => Err(RoomError::NotFound.into()),
            Err(error) => Err(error.into()),
        }
    }
}
