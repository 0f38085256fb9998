//! Memberships that other servers told of while nobody of this server was in the room: invites that came, knocks that were made, and the end of either.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use playhouse_schema::{
    address::{Position, Sequence},
    record::room::{EventRecord, MembershipTold, Placement, RoomRecord, Verdict},
};
use ruma::{
    OwnedServerName, OwnedUserId, RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};

use super::{
    Room, RoomError, RoomReply,
    event::RoomEvent,
    query::client_form,
    state::{InFlight, membership_of},
};
use crate::kernel::Decision;

/// So many stripped events are kept with a membership.
const STRIPPED_MAX: usize = 100;

/// A membership as another server told it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Carried", into = "Carried")]
pub struct Told {
    /// The member event.
    pub event: Arc<RoomEvent>,
    /// The room's version, as far as the other server can be believed.
    pub version: RoomVersionId,
    /// What was recorded.
    pub record: MembershipTold,
}

/// How it goes from node to node: the event stands in the record.
#[derive(Serialize, Deserialize)]
struct Carried {
    sequence: Sequence,
    position: Position,
    version: RoomVersionId,
    record: MembershipTold,
}

impl From<Told> for Carried {
    fn from(told: Told) -> Self {
        Self {
            sequence: told.event.sequence,
            position: told.event.position(),
            version: told.version,
            record: told.record,
        }
    }
}

impl TryFrom<Carried> for Told {
    type Error = &'static str;

    fn try_from(carried: Carried) -> Result<Self, Self::Error> {
        let event = event_of((carried.sequence, carried.position), &carried.record)
            .ok_or("a member event that is no PDU")?;
        Ok(Self {
            event: Arc::new(event),
            version: carried.version,
            record: carried.record,
        })
    }
}

impl Told {
    /// The membership.
    pub fn membership(&self) -> Option<MembershipState> {
        membership_of(&self.event)
    }

    /// The servers of those whose events are told of: they are, or were, in the room.
    pub fn servers(&self) -> BTreeSet<OwnedServerName> {
        #[derive(Deserialize)]
        struct Event {
            sender: OwnedUserId,
        }
        let told = self.record.stripped.iter();
        let told = told.filter_map(|event| serde_json::from_slice::<Event>(event).ok());
        told.map(|event| event.sender.server_name().to_owned())
            .collect()
    }

    /// What is told of the room, the member event last.
    pub(super) fn stripped(&self) -> Vec<Bytes> {
        let told = self.record.stripped.iter();
        let told = told.map(|event| Bytes::copy_from_slice(event));
        told.chain([client_form::stripped(&self.event)]).collect()
    }
}

/// The event of a record, as an event at the end of the timeline: that is how it concerns the user.
pub(crate) fn event_of(
    (sequence, position): (Sequence, Position),
    told: &MembershipTold,
) -> Option<RoomEvent> {
    let record = EventRecord {
        event_id: told.event_id.clone(),
        pdu: told.pdu.clone(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
        from: None,
    };
    RoomEvent::from_record(sequence, position, &record)
}

/// Judges a membership that was told: recorded once.
pub(super) fn decide(room: &Room, told: MembershipTold) -> Result<Decision<Room>, RoomError> {
    let event = event_of((0, 0), &told)
        .ok_or_else(|| RoomError::BadJson("this is no member event".to_owned()))?;
    let user_id = target_of(&event)
        .ok_or_else(|| RoomError::BadJson("this is no member event".to_owned()))?;
    if told.stripped.len() > STRIPPED_MAX {
        return Err(RoomError::TooLarge);
    }
    let known = room.told.get(&user_id);
    if known.is_some_and(|known| known.record.event_id == told.event_id) {
        return Ok(Decision::unchanged(RoomReply::Done));
    }
    let record = RoomRecord::MembershipTold(told);
    Ok(Decision::new(vec![record], RoomReply::Done))
}

/// Whose membership an event changes.
fn target_of(event: &RoomEvent) -> Option<OwnedUserId> {
    let is_member = event.pdu.event_type == TimelineEventType::RoomMember;
    let target = event.pdu.state_key.as_deref().filter(|_| is_member)?;
    membership_of(event)?;
    UserId::parse(target).ok()
}

impl Room {
    /// Takes in what was told.
    pub(super) fn take_in_told(
        &mut self,
        sequence: Sequence,
        position: Position,
        told: &MembershipTold,
    ) {
        let Some(event) = event_of((sequence, position), told).map(Arc::new) else {
            return;
        };
        let Some(user_id) = target_of(&event) else {
            return;
        };
        if position == 0 {
            self.in_flight
                .insert(sequence, InFlight::Event(event.clone()));
        }
        let version = RoomVersionId::try_from(told.room_version.as_str());
        let told = Told {
            event,
            version: version.unwrap_or(RoomVersionId::V1),
            record: told.clone(),
        };
        self.held_bytes += told.event.weight_bytes();
        if let Some(former) = self.told.insert(user_id, Arc::new(told)) {
            self.held_bytes = self.held_bytes.saturating_sub(former.event.weight_bytes());
        }
    }

    /// A member event of the room's own says more than what was told before it.
    pub(super) fn overrule_told(&mut self, event: &RoomEvent) {
        if self.told.is_empty() {
            return;
        }
        if let Some(user_id) = target_of(event)
            && let Some(former) = self.told.remove(&user_id)
        {
            self.held_bytes = self.held_bytes.saturating_sub(former.event.weight_bytes());
        }
    }
}
