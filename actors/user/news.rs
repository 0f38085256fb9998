//! What rooms tell the users who follow them.

use std::sync::{Arc, OnceLock};

use playhouse_schema::address::{Position, Shard};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId,
    events::{AnySyncTimelineEvent, room::member::MembershipState},
    push::FlattenedJson,
    serde::Raw,
};
use serde::{Deserialize, Serialize};

use crate::room::event::RoomEvent;

/// Something was committed in a room. Decoded once, shared by all who follow the room.
#[derive(Debug, Serialize, Deserialize)]
pub struct RoomNews {
    /// The room.
    pub room_id: OwnedRoomId,
    /// The shard.
    pub shard: Shard,
    /// The position.
    pub position: Position,
    /// The record's number in the room.
    pub sequence: u64,
    /// What it is.
    pub kind: NewsKind,
    /// The event in the form in which push rules read it.
    #[serde(skip)]
    flat: OnceLock<FlattenedJson>,
}

/// A kind of news.
#[derive(Debug, Serialize, Deserialize)]
pub enum NewsKind {
    /// An event at the end of the timeline.
    Event {
        /// The event.
        event: Arc<RoomEvent>,
        /// A member event: whose membership became what.
        membership: Option<(OwnedUserId, MembershipState)>,
    },
    /// A receipt moved.
    Receipt(ReceiptNews),
    /// The state was resolved anew.
    StateSet,
}

/// A receipt that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptNews {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Only the user sees it.
    pub is_private: bool,
    /// `None` unthreaded, `main`, or a thread root.
    pub thread_id: Option<String>,
    /// Up to this event.
    pub event_id: OwnedEventId,
    /// When, milliseconds since the Unix epoch.
    pub ts_ms: u64,
}

impl RoomNews {
    /// News from a record of a room.
    pub fn new(
        room_id: OwnedRoomId,
        (shard, position): (Shard, Position),
        sequence: u64,
        kind: NewsKind,
    ) -> Self {
        Self {
            room_id,
            shard,
            position,
            sequence,
            kind,
            flat: OnceLock::new(),
        }
    }

    /// The event, if it is one.
    pub fn event(&self) -> Option<&Arc<RoomEvent>> {
        match &self.kind {
            NewsKind::Event { event, .. } => Some(event),
            _ => None,
        }
    }

    /// The event as push rules read it; made once for all users.
    pub(crate) fn flat(&self) -> Option<&FlattenedJson> {
        let event = self.event()?;
        Some(self.flat.get_or_init(|| flatten(event)))
    }
}

/// An event in the form in which push rules read it.
pub(crate) fn flatten(event: &RoomEvent) -> FlattenedJson {
    let text = std::str::from_utf8(event.pdu.json()).unwrap_or("{}");
    let raw = Raw::<AnySyncTimelineEvent>::from_json_string(text.to_owned())
        .unwrap_or_else(|_| Raw::from_json(serde_json::value::RawValue::NULL.to_owned()));
    FlattenedJson::from_raw(&raw)
}
