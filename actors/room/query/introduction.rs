//! What a server is told of a room into which its user is invited.

use bytes::Bytes;
use ruma::{RoomVersionId, events::StateEventType};
use serde::{Deserialize, Serialize};

use super::super::{Room, RoomError, wire::wire_form};

/// The state that tells a room from others; the create event comes first.
const TOLD: [StateEventType; 7] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
];

/// What a server is told of a room into which its user is invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// The version.
    pub version: RoomVersionId,
    /// What tells the room from others: whole events in the form servers exchange, as all room versions demand of the create event at least.
    pub state: Vec<Bytes>,
}

/// Answers.
pub(super) fn introduction(room: &Room) -> Result<Introduction, RoomError> {
    let version = room.version.clone().ok_or(RoomError::UnknownRoom)?;
    let told = TOLD.iter();
    let told = told.filter_map(|event_type| room.state_event(event_type, ""));
    Ok(Introduction {
        version,
        state: told.map(|event| wire_form(&event.pdu)).collect(),
    })
}
