//! Who is in the room (client-server API, `GET /rooms/{roomId}/members` and `/joined_members`).

use std::sync::Arc;

use bytes::Bytes;
use ruma::{
    OwnedMxcUri, OwnedUserId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::{MemberProfile, Reader, TimelinePoint},
        state::{StateMap, membership_of},
    },
    View,
    state::moment_of,
};

/// Which member events are wanted.
pub(super) struct Wanted {
    /// As of when.
    pub(super) at: Option<TimelinePoint>,
    /// Only this membership.
    pub(super) membership: Option<MembershipState>,
    /// Not this membership.
    pub(super) not_membership: Option<MembershipState>,
}

impl Wanted {
    fn fits(&self, event: &RoomEvent) -> bool {
        if self.membership.is_none() && self.not_membership.is_none() {
            return true;
        }
        let found = membership_of(event);
        found.is_some()
            && self.not_membership != found
            && (self.membership.is_none() || self.membership == found)
    }
}

/// The member events of a state.
pub(super) fn member_events(state: &StateMap) -> impl Iterator<Item = &Arc<RoomEvent>> {
    state
        .range((TimelineEventType::RoomMember, String::new())..)
        .take_while(|((event_type, _), _)| *event_type == TimelineEventType::RoomMember)
        .map(|(_, event)| event)
}

/// Answers member events.
pub(super) async fn members(
    view: &mut View,
    reader: &Reader,
    wanted: Wanted,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let (_, standing) = view.sight(reader).await?;
    let moment = moment_of(view, &standing, wanted.at).await?;
    let state = view.history.state(moment).await?;
    let form = view.form(&room, None);
    Ok(member_events(&state)
        .filter(|event| wanted.fits(event))
        .map(|event| form.state(event))
        .collect())
}

/// Answers the joined members with their profiles.
pub(super) async fn joined(
    view: &mut View,
    reader: Option<&Reader>,
) -> Result<Vec<(OwnedUserId, MemberProfile)>, RoomError> {
    let state = match reader {
        Some(reader) => {
            let (_, standing) = view.sight(reader).await?;
            let moment = moment_of(view, &standing, None).await?;
            view.history.state(moment).await?
        }
        None => view.room().current.clone(),
    };
    Ok(member_events(&state)
        .filter_map(|event| joined_profile(event))
        .collect())
}

fn joined_profile(event: &RoomEvent) -> Option<(OwnedUserId, MemberProfile)> {
    #[derive(Deserialize)]
    struct Content {
        membership: MembershipState,
        displayname: Option<String>,
        avatar_url: Option<OwnedMxcUri>,
    }
    let user_id = UserId::parse(event.pdu.state_key.as_deref()?).ok()?;
    if membership_of(event) != Some(MembershipState::Join) {
        return None;
    }
    // A profile that is no profile does not make a member less of one.
    let profile = event
        .pdu
        .content_as::<Content>()
        .filter(|content| content.membership == MembershipState::Join)
        .map(|content| MemberProfile {
            displayname: content.displayname,
            avatar_url: content.avatar_url,
        });
    Some((user_id, profile.unwrap_or_default()))
}
