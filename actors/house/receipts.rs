//! Receipts and read markers.

use playhouse_schema::address::{Entity, Family};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::receipt::ReceiptType,
    events::room::member::MembershipState,
};

use super::{House, HouseError};
use crate::{
    room::{RoomCommand, RoomError, message::MoveReceipt},
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
        self.check_event(room_id, &receipt.event_id).await?;
        let command = RoomCommand::MoveReceipts(vec![receipt]);
        self.room_command(room_id, command).await?;
        Ok(())
    }

    /// Moves receipts and the read marker. The marker is account data of the room (`m.fully_read`).
    pub async fn set_read_markers(&self, markers: ReadMarkers) -> Result<(), HouseError> {
        let named = [&markers.fully_read, &markers.read, &markers.read_private];
        for event_id in named.into_iter().flatten() {
            self.check_event(&markers.room_id, event_id).await?;
        }
        let receipt = |receipt_type, event_id| MoveReceipt {
            user_id: markers.user_id.clone(),
            receipt_type,
            thread_id: None,
            event_id,
        };
        let read = markers.read.clone();
        let read_private = markers.read_private.clone();
        let receipts: Vec<MoveReceipt> = read
            .map(|event_id| receipt(ReceiptType::Read, event_id))
            .into_iter()
            .chain(read_private.map(|event_id| receipt(ReceiptType::ReadPrivate, event_id)))
            .collect();
        if !receipts.is_empty() {
            let command = RoomCommand::MoveReceipts(receipts);
            self.room_command(&markers.room_id, command).await?;
        }
        match markers.fully_read {
            Some(event_id) => {
                self.set_fully_read(&markers.room_id, &markers.user_id, event_id)
                    .await
            }
            None => Ok(()),
        }
    }

    /// The event must be one of this room. Rooms do not hold their whole history, so the log is asked.
    async fn check_event(&self, room_id: &RoomId, event_id: &EventId) -> Result<(), HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        match stored {
            Some(stored) if stored.entity == Entity::room(room_id.as_str()) => Ok(()),
            _ => Err(RoomError::NotFound.into()),
        }
    }

    async fn set_fully_read(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        event_id: OwnedEventId,
    ) -> Result<(), HouseError> {
        let access = self.room_access(room_id, user_id).await?;
        if access.membership != Some(MembershipState::Join) {
            return Err(RoomError::Forbidden("the user is not in this room".to_owned()).into());
        }
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
