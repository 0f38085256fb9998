//! Which events a server may see: what any of its users may (client-server API, "Room history visibility").

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::record::room::{Placement, StateId};
use ruma::{
    OwnedServerName, ServerName, UserId,
    events::{
        TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};

use super::super::{
    super::{
        acl,
        error::RoomError,
        event::RoomEvent,
        peer::PeerStanding,
        state::{Room, StateMap, membership_of},
    },
    history::History,
    past::Moment,
    visibility::{Trail, membership_or_leave, visibility_key, visibility_of},
};

/// So many old memberships of a server's users are read for one question; what is not certain then is not shown.
const STEPS_MAX: usize = 4_000;

/// How a server stands to a room.
pub(super) fn standing(room: &Room, server: &ServerName) -> PeerStanding {
    let mut standing = PeerStanding {
        admitted: acl::admits(room, server),
        state_events: room.current.len() as u64,
        ..PeerStanding::default()
    };
    for member in members(&room.current, server) {
        match membership_of(member) {
            Some(MembershipState::Join) => standing.joined = true,
            Some(MembershipState::Invite) => standing.invited = true,
            _ => {}
        }
        if standing.joined && standing.invited {
            break;
        }
    }
    standing
}

/// The member events of a server's users.
fn members<'a>(
    state: &'a StateMap,
    server: &'a ServerName,
) -> impl Iterator<Item = &'a Arc<RoomEvent>> {
    state
        .range((TimelineEventType::RoomMember, String::new())..)
        .take_while(|((event_type, _), _)| *event_type == TimelineEventType::RoomMember)
        .filter(move |((_, user_id), _)| is_of(user_id, server))
        .map(|(_, event)| event)
}

fn is_of(user_id: &str, server: &ServerName) -> bool {
    user_id.ends_with(server.as_str())
        && <&UserId>::try_from(user_id).is_ok_and(|user_id| user_id.server_name() == server)
}

/// What counts at a moment of a room whose states have branched.
#[derive(Clone)]
struct Then {
    visibility: HistoryVisibility,
    joined: bool,
    invited: bool,
}

/// One server's view of a room's history.
pub(super) struct PeerSight {
    server: OwnedServerName,
    joined_now: bool,
    visibility: Trail<HistoryVisibility>,
    /// Of each user of the server; those who came first come first.
    members: Vec<Trail<MembershipState>>,
    moments: BTreeMap<StateId, Then>,
    /// Old memberships that were read.
    steps: usize,
}

impl PeerSight {
    /// A server's view.
    pub(super) fn new(room: &Room, server: &ServerName, joined_now: bool) -> Self {
        let mut own: Vec<_> = members(&room.current, server).collect();
        own.sort_by_key(|event| event.sequence);
        Self {
            server: server.to_owned(),
            joined_now,
            visibility: Trail::new(room.current.get(&visibility_key()), visibility_of),
            members: own
                .into_iter()
                .map(|event| Trail::new(Some(event), membership_or_leave))
                .collect(),
            moments: BTreeMap::new(),
            steps: 0,
        }
    }

    /// Whether the server may see an event.
    pub(super) async fn sees(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<bool, RoomError> {
        if event.pdu.sender.server_name() == self.server {
            return Ok(true);
        }
        if !history.may_be_shown(event) {
            return Ok(false);
        }
        if self.joined_now && history.is_sticky(event) {
            return Ok(true);
        }
        if event.placement == Placement::Outlier {
            // Nobody knows what was in force there. Who is in the room knows its state.
            return Ok(self.joined_now && event.pdu.is_state());
        }
        let before = self.visibility_before(history, event).await?;
        let after = changed_visibility(event);
        for visibility in after.iter().chain([&before]) {
            match visibility {
                HistoryVisibility::WorldReadable => return Ok(true),
                HistoryVisibility::Shared if self.joined_now => return Ok(true),
                _ => {}
            }
        }
        let invites_count = before == HistoryVisibility::Invited
            || after.is_some_and(|after| after == HistoryVisibility::Invited);
        if let Some(membership) = self.own_membership(event)
            && (membership == MembershipState::Join
                || (invites_count && membership == MembershipState::Invite))
        {
            return Ok(true);
        }
        self.was_inside(history, event, invites_count).await
    }

    /// What a member event of one of the server's users says.
    fn own_membership(&self, event: &RoomEvent) -> Option<MembershipState> {
        let is_own = event.pdu.event_type == TimelineEventType::RoomMember
            && event
                .pdu
                .state_key
                .as_deref()
                .is_some_and(|user_id| is_of(user_id, &self.server));
        is_own.then(|| membership_or_leave(event))
    }

    async fn visibility_before(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<HistoryVisibility, RoomError> {
        if history.room.forked {
            if let Some(then) = self.moments.get(&event.before) {
                return Ok(then.visibility.clone());
            }
            let moment = Moment::State(event.before);
            let value = history.value(moment, &visibility_key()).await?;
            return Ok(value.map_or(HistoryVisibility::Shared, |event| visibility_of(&event)));
        }
        let found = self.visibility.before(history, event.sequence).await?;
        Ok(found.unwrap_or(HistoryVisibility::Shared))
    }

    /// Whether a user of the server was in the room, or (if that counts) invited, before an event.
    async fn was_inside(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
        invites_count: bool,
    ) -> Result<bool, RoomError> {
        if history.room.forked {
            let then = self.moment(history, event.before).await?;
            return Ok(then.joined || (invites_count && then.invited));
        }
        for member in &mut self.members {
            if self.steps > STEPS_MAX {
                break;
            }
            let known = member.len();
            let membership = member.before(history, event.sequence).await?;
            self.steps += member.len() - known;
            match membership {
                Some(MembershipState::Join) => return Ok(true),
                Some(MembershipState::Invite) if invites_count => return Ok(true),
                _ => {}
            }
        }
        Ok(false)
    }

    /// What counts in a state, read once for all events that follow upon it.
    async fn moment(&mut self, history: &mut History, id: StateId) -> Result<Then, RoomError> {
        if let Some(then) = self.moments.get(&id) {
            return Ok(then.clone());
        }
        let state = history.state(Moment::State(id)).await?;
        let is = |wanted: MembershipState| {
            members(&state, &self.server)
                .any(|event| membership_of(event).as_ref() == Some(&wanted))
        };
        let then = Then {
            visibility: state
                .get(&visibility_key())
                .map_or(HistoryVisibility::Shared, |event| visibility_of(event)),
            joined: is(MembershipState::Join),
            invited: is(MembershipState::Invite),
        };
        self.moments.insert(id, then.clone());
        Ok(then)
    }
}

fn changed_visibility(event: &RoomEvent) -> Option<HistoryVisibility> {
    let changes = event.pdu.event_type == TimelineEventType::RoomHistoryVisibility
        && event.pdu.state_key.as_deref() == Some("");
    changes.then(|| visibility_of(event))
}
