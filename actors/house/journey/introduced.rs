//! What another server tells of a room in which nobody of this server is: with an invite, and in answer to a knock.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use ruma::{RoomId, RoomVersionId, events::TimelineEventType};
use serde_json::value::RawValue;

use super::invited::IncomingInvite;
use crate::{
    house::{House, HouseError},
    room::{RoomError, receive::CheckedPdu},
};

impl House {
    /// What comes with an invite, once it is looked at (server-server API, "Inviting to a room"): refused unless all of it is sound, and says which room it is.
    pub(super) async fn introduced_by_invite(
        &self,
        invite: &IncomingInvite,
    ) -> Result<Vec<Box<RawValue>>, HouseError> {
        if !must_be_whole(&invite.version)? {
            return Ok(invite.state.clone());
        }
        let bad = |what: &str| HouseError::InvalidParam(format!("invite_room_state: {what}"));
        let checked = self.checked_of(&invite.room_id, &invite.version, &invite.state);
        let (sound, flaws) = checked.boxed().await?;
        if let Some(flaw) = flaws.into_values().find_map(Result::err) {
            return Err(bad(&flaw));
        }
        let distinct: BTreeSet<&str> = invite.state.iter().map(|event| event.get()).collect();
        let is_state = sound.iter().all(|pdu| pdu.is_state());
        if sound.len() < distinct.len() || !is_state {
            return Err(bad("not all of it are state events of the room's version"));
        }
        if !sound.iter().any(is_create) {
            return Err(bad("the create event is missing"));
        }
        Ok(texts(&sound))
    }

    /// What a knock is answered with, without what is not sound: the knock itself stands.
    pub(super) async fn introduced_by_knock(
        &self,
        (room_id, version): (&RoomId, &RoomVersionId),
        state: Vec<Box<RawValue>>,
    ) -> Result<Vec<Box<RawValue>>, HouseError> {
        if !must_be_whole(version)? {
            return Ok(state);
        }
        let checked = self.checked_of(room_id, version, &state);
        let (sound, _) = checked.boxed().await?;
        Ok(texts(&sound))
    }
}

/// Whether it must be whole events: from room version 12 on, whose create event proves which room it is (MSC4311). Servers of former times tell of other rooms
/// in stripped form, which proves nothing.
fn must_be_whole(version: &RoomVersionId) -> Result<bool, HouseError> {
    let unsupported = || RoomError::UnsupportedVersion(version.clone());
    let rules = version.rules().ok_or_else(unsupported)?;
    Ok(rules.authorization.room_create_event_id_as_room_id)
}

fn is_create(pdu: &CheckedPdu) -> bool {
    pdu.event_type == TimelineEventType::RoomCreate && pdu.state_key.as_deref() == Some("")
}

fn texts(sound: &[CheckedPdu]) -> Vec<Box<RawValue>> {
    let texts = sound.iter();
    let texts = texts.filter_map(|pdu| serde_json::from_slice(pdu.json()).ok());
    texts.collect()
}
