//! Receipts and read markers.

use playhouse_schema::{
    address::{Entity, Family, Sequence, Shard},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord},
    },
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::receipt::ReceiptType,
};

use serde::Deserialize;

use super::{House, HouseError, among::lies_in, surprise};
use crate::{
    room::{RoomAnswer, RoomCommand, RoomError, RoomQuery, message::MoveReceipt},
    user::{UserAnswer, UserCommand, UserError, UserQuery},
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
    /// It may go back (MSC4446).
    pub backward: bool,
    /// `m.read`.
    pub read: Option<OwnedEventId>,
    /// `m.read.private`.
    pub read_private: Option<OwnedEventId>,
}

const FULLY_READ: &str = "m.fully_read";

/// Where an event is in the order of a room.
#[derive(Clone, Copy)]
enum Place {
    /// In the timeline as it was heard.
    Live(Sequence),
    /// Before it: fetched later.
    Past,
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
                ts_ms: None,
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
                let place = (&*markers.room_id, &*markers.user_id);
                if !markers.backward && !self.is_forward(place, &event_id).await? {
                    return Ok(());
                }
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

    /// Moves a receipt of which another server tells. What it rests on may come after it: then it waits for that, in the room's memory.
    pub(super) async fn receive_receipt(
        &self,
        room_id: &RoomId,
        receipt: MoveReceipt,
    ) -> Result<(), HouseError> {
        match self.move_receipt(room_id, receipt.clone()).await {
            Err(HouseError::Room(RoomError::NotFound | RoomError::PartialState)) => {}
            outcome => return outcome,
        }
        let query = RoomQuery::HoldReceipt(Box::new(receipt.clone()));
        match self.room_query(room_id, query).await? {
            RoomAnswer::Held(true) => Ok(()),
            // It has come meanwhile.
            RoomAnswer::Held(false) => self.move_receipt(room_id, receipt).await,
            _ => Err(surprise("HoldReceipt")),
        }
    }

    /// Receipts that wait here go after their rooms, which another node gets.
    pub(super) fn send_held_receipts(&self, shard: Shard) {
        let layout = self.store.layout();
        let is_gone = |room_id: &RoomId| lies_in(layout, &Entity::room(room_id.as_str()), shard);
        let held = self.elsewhere.held_receipts.take_of(is_gone);
        if held.is_empty() {
            return;
        }
        let house = self.myself.clone();
        self.background(async move {
            for (room_id, receipt) in held {
                let Some(house) = house.upgrade() else {
                    return;
                };
                if let Err(error) = house.receive_receipt(&room_id, receipt).await {
                    tracing::debug!(%room_id, %error, "a receipt that waits is lost with its room's move");
                }
            }
        });
    }

    /// The event must be one of this room. Rooms do not hold their whole history, so the log is asked.
    async fn check_event(&self, room_id: &RoomId, event_id: &EventId) -> Result<(), HouseError> {
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await;
        // Of damage the room says that it lasts.
        match stored.map_err(RoomError::from)? {
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
            RoomAnswer::Marker {
                at_hand: Some(_), ..
            } => Ok(()),
            RoomAnswer::Marker { .. } => self.check_event(&markers.room_id, event_id).await,
            _ => Err(surprise("Marker")),
        }
    }

    /// Whether the marker would go on, as far as the order of events is known.
    async fn is_forward(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        event_id: &EventId,
    ) -> Result<bool, HouseError> {
        #[derive(Deserialize)]
        struct Marker {
            event_id: OwnedEventId,
        }
        let query = UserQuery::AccountData {
            room_id: Some(room_id.to_owned()),
            event_type: FULLY_READ.to_owned(),
        };
        let known = match self.user_query(user_id, query).await {
            Ok(UserAnswer::Json(json)) => json,
            Err(UserError::NotFound) => return Ok(true),
            Ok(_) => return Err(surprise("AccountData")),
            Err(error) => return Err(error.into()),
        };
        let Ok(known) = serde_json::from_str::<Marker>(&known) else {
            return Ok(true);
        };
        let before = self.place_of((room_id, user_id), &known.event_id).await?;
        let after = self.place_of((room_id, user_id), event_id).await?;
        Ok(before
            .zip(after)
            .is_none_or(|(before, after)| match (before, after) {
                (Place::Live(before), Place::Live(after)) => before < after,
                (Place::Live(_), Place::Past) => false,
                // Of what was fetched later the order is not known.
                (Place::Past, _) => true,
            }))
    }

    /// Where an event of a room is; `None` when it is not there, or no longer.
    async fn place_of(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        event_id: &EventId,
    ) -> Result<Option<Place>, HouseError> {
        let query = RoomQuery::Marker {
            user_id: user_id.to_owned(),
            event_id: event_id.to_owned(),
        };
        if let RoomAnswer::Marker {
            at_hand: Some(sequence),
            ..
        } = self.room_query(room_id, query).await?
        {
            return Ok(Some(Place::Live(sequence)));
        }
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        let entity = Entity::room(room_id.as_str());
        let Some(stored) = stored.filter(|stored| stored.entity == entity) else {
            return Ok(None);
        };
        Ok(match RoomRecord::decode(&stored)? {
            Some(RoomRecord::Event(event)) if event.placement == Placement::Live => {
                Some(Place::Live(stored.sequence))
            }
            Some(_) => Some(Place::Past),
            None => None,
        })
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
            event_type: FULLY_READ.to_owned(),
            content: Some(content.to_string()),
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }
}
