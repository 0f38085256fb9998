//! The room as lists of sliding sync show it.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    EventId, OwnedMxcUri, OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        state::{Room, StateMap},
        window::{Hero, RoomFace, RoomGlance, StateWish, bumps},
    },
    View,
    access::{avatar, name, room_type},
    history::History,
    past::Moment,
    scroll::Scroll,
    summary::heroes,
    timeline::Shown,
    visibility::member_key,
};

/// So many events are looked at for one that lifts the room.
const EXAMINED_MAX: usize = 500;

/// Answers what lists are made by.
pub(super) async fn glance(view: &mut View, user_id: &UserId) -> Result<RoomGlance, RoomError> {
    let room = view.room().clone();
    let is_member = room.membership(user_id) == Some(MembershipState::Join);
    let bump = if is_member {
        last_bump(&view.history).await?
    } else {
        // What goes on in the room is none of the user's business yet.
        room.current.get(&member_key(user_id)).cloned()
    };
    let sent_ms = |event: Arc<RoomEvent>| u64::from(event.pdu.origin_server_ts.get());
    Ok(RoomGlance {
        bump_ms: bump.map_or(0, sent_ms).min(view.now_ms),
        name: name(&room),
        avatar_url: avatar(&room),
        room_type: room_type(&room),
        is_encrypted: super::slice::is_encrypted(&room),
    })
}

/// The newest event that lifts the room; of a room where nothing does lately, the oldest that was looked at.
async fn last_bump(history: &History) -> Result<Option<Arc<RoomEvent>>, RoomError> {
    let mut scroll = Scroll::backwards(1, history.last);
    let (mut examined, mut oldest) = (0, None);
    while !scroll.is_done() && examined < EXAMINED_MAX {
        for event in scroll.next(history).await? {
            if bumps(&event.pdu.event_type.to_string()) {
                return Ok(Some(event));
            }
            examined += 1;
            oldest = Some(event);
        }
    }
    Ok(oldest)
}

/// How the room looks to a member.
pub(super) fn face(room: &Room, reader: &UserId) -> RoomFace {
    let name = name(room);
    let heroes = match &name {
        Some(_) => Vec::new(),
        None => heroes(room, reader)
            .into_iter()
            .map(|user_id| hero(room, user_id))
            .collect(),
    };
    RoomFace {
        name,
        avatar_url: avatar(room),
        heroes,
        joined_count: room.joined_count,
        invited_count: room.invited_count,
    }
}

fn hero(room: &Room, user_id: OwnedUserId) -> Hero {
    #[derive(Default, Deserialize)]
    struct Profile {
        displayname: Option<String>,
        avatar_url: Option<OwnedMxcUri>,
    }
    let event = room.current.get(&member_key(&user_id));
    let profile: Profile = event
        .and_then(|event| event.pdu.content_as())
        .unwrap_or_default();
    Hero {
        user_id,
        displayname: profile.displayname,
        avatar_url: profile.avatar_url,
    }
}

/// The state that a wish names, as of a moment.
pub(super) async fn wished(
    history: &mut History,
    moment: Moment,
    wish: &StateWish,
) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
    let mut events = Vec::new();
    if let Some(keys) = wish.keys() {
        for (event_type, state_key) in keys {
            let key = (
                TimelineEventType::from(event_type.as_str()),
                state_key.clone(),
            );
            events.extend(history.value(moment, &key).await?);
        }
        return Ok(events);
    }
    let state: StateMap = history.state(moment).await?;
    let fits = |event: &&Arc<RoomEvent>| {
        let state_key = event.pdu.state_key.as_deref().unwrap_or_default();
        wish.wants(&event.pdu.event_type.to_string(), state_key)
    };
    events.extend(state.values().filter(fits).cloned());
    Ok(events)
}

/// The IDs of some events.
pub(super) fn event_ids(shown: &[Shown]) -> BTreeSet<&EventId> {
    shown
        .iter()
        .map(|shown| &*shown.event.pdu.event_id)
        .collect()
}
