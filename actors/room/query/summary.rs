//! Heroes and counts (client-server API, `GET /sync`, RoomSummary).

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    super::{
        message::RoomSummary,
        state::{Room, StateMap, membership_of},
    },
    access::{canonical_alias, name},
    members::member_events,
};

/// So many heroes name a room.
const HEROES_MAX: usize = 5;

/// The summary for a reader.
pub(super) fn summary(room: &Room, reader: &UserId) -> RoomSummary {
    let named = name(room).is_some() || canonical_alias(room).is_some();
    RoomSummary {
        heroes: if named {
            Vec::new()
        } else {
            heroes(room, reader)
        },
        joined_count: room.joined_count,
        invited_count: room.invited_count,
    }
}

/// The first five in stream order that are joined or invited; those who left or were banned only when nobody else is there.
pub(super) fn heroes(room: &Room, reader: &UserId) -> Vec<OwnedUserId> {
    heroes_of(&room.current, reader)
}

/// The same of any state.
pub(super) fn heroes_of(state: &StateMap, reader: &UserId) -> Vec<OwnedUserId> {
    let mut members: Vec<_> = member_events(state)
        .filter(|event| event.pdu.state_key.as_deref() != Some(reader.as_str()))
        .collect();
    members.sort_unstable_by_key(|event| event.sequence);
    let (mut present, mut gone) = (Vec::new(), Vec::new());
    for event in members {
        let state_key = event.pdu.state_key.as_deref().unwrap_or_default();
        let Ok(user_id) = UserId::parse(state_key) else {
            continue;
        };
        match membership_of(event) {
            Some(MembershipState::Join | MembershipState::Invite) => present.push(user_id),
            Some(MembershipState::Leave | MembershipState::Ban) if gone.len() < HEROES_MAX => {
                gone.push(user_id);
            }
            _ => {}
        }
        if present.len() >= HEROES_MAX {
            break;
        }
    }
    if present.is_empty() { gone } else { present }
}
