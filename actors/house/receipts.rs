//! Receipts and read markers.

use playhouse_schema::address::{Entity, Family};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::receipt::ReceiptType,
};

use super::{House, HouseError, surprise};
use crate::{
    room::{RoomAnswer, RoomCommand, RoomError, RoomQuery, message::MoveReceipt},
    user::UserCommand,
};

/// How far a user has read (client-server API, `POST /rooms/{roomId}/read_markers`).
#[derive(Clone, Debug)]
pub struct ReadMarkers {
    /// Who.
    pub user_id: OwnedUserId,
    /// Where.
    pub room_id: OwnedRoomId,
    /// `m.fully_read`.
    pub fully_read: Option<OwnedEventId>,
    /// `m.read`.
    pub read: Option<OwnedEventId>,
    /// `m.read.private`.
    pub read_private: Option<OwnedEventId>,
}

impl House {
    /// Moves a receipt.
    pub async fn move_receipt(
        &self,
        room_id: &RoomId,
        receipt: MoveReceipt,
    ) -> Result<(), HouseError> {
        self.move_receipts(room_id, vec![receipt]).await
    }

    /// Moves receipts and the read marker. The marker is account data of the room (`m.fully_read`).
    pub async fn set_read_markers(&self, markers: ReadMarkers) -> Result<(), HouseError> {
        let receipt = |receipt_type, event_id: &Option<OwnedEventId>| {
            let event_id = event_id.clone()?;
            Some(MoveReceipt {
                user_id: markers.user_id.clone(),
                receipt_type,
                thread_id: None,
                event_id,
                found: false,
            })
        };
        let receipts = [
            receipt(ReceiptType::Read, &markers.read),
            receipt(ReceiptType::ReadPrivate, &markers.read_private),
        ];
        let receipts: Vec<MoveReceipt> = receipts.into_iter().flatten().collect();
        if let Some(event_id) = &markers.fully_read
            && !receipts.iter().any(|receipt| receipt.event_id == *event_id)
        {
            self.check_marker(&markers, event_id).await?;
        }
        if !receipts.is_empty() {
            self.move_receipts(&markers.room_id, receipts).await?;
        }
        match markers.fully_read {
            Some(event_id) => {
                self.set_fully_read(&markers.room_id, &markers.user_id, event_id)
                    .await
            }
            None => Ok(()),
        }
    }

    /// Nearly all receipts stand at one of the newest events, which the room knows; only for others the log is asked.
    async fn move_receipts(
        &self,
        room_id: &RoomId,
        mut receipts: Vec<MoveReceipt>,
    ) -> Result<(), HouseError> {
        let command = RoomCommand::MoveReceipts(receipts.clone());
        match self.room_command(room_id, command).await {
            Err(RoomError::NotAtHand) => {}
            outcome => return Ok(outcome.map(|_| ())?),
        }
        for receipt in &mut receipts {
            self.check_event(room_id, &receipt.event_id).await?;
            receipt.found = true;
        }
        let command = RoomCommand::MoveReceipts(receipts);
        self.room_command(room_id, command).await?;
        Ok(())
    }

    /// The event must be one of this room. Rooms do not hold their whole history, so the log is asked.
    async fn check_event(&self, room_id: &RoomId, event_id: &EventId) -> Result<(), HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        match stored {
            Some(stored) if stored.entity == Entity::room(room_id.as_str()) => Ok(()),
            _ => Err(RoomError::NotFound.into()),
        }
    }

    /// Who sets a marker must be joined, and the event one of the room.
    async fn check_marker(
        &self,
        markers: &ReadMarkers,
        event_id: &EventId,
    ) -> Result<(), HouseError> {
        let query = RoomQuery::Marker {
            user_id: markers.user_id.clone(),
            event_id: event_id.to_owned(),
        };
        match self.room_query(&markers.room_id, query).await? {
            RoomAnswer::Marker { joined: false, .. } => {
                Err(RoomError::Forbidden("the user is not in this room".to_owned()).into())
            }
            RoomAnswer::Marker { at_hand: true, .. } => Ok(()),
            RoomAnswer::Marker { .. } => self.check_event(&markers.room_id, event_id).await,
            _ => Err(surprise("Marker")),
        }
    }

    async fn set_fully_read(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        event_id: OwnedEventId,
    ) -> Result<(), HouseError> {
        let content = serde_json::json!({ "event_id": event_id });
        let command = UserCommand::SetAccountData {
            room_id: Some(room_id.to_owned()),
            event_type: "m.fully_read".to_owned(),
            content: Some(content.to_string()),
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }
}
