//! Rooms of other servers as those tell of them to whoever may see them from outside (server-server API, "Spaces").

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    OwnedRoomId, OwnedServerName, RoomId, UserId,
    events::room::member::MembershipState,
    room::{JoinRuleSummary, RoomSummary},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    House, HouseError,
    journey::Footing,
    peers::{Patience, segment},
};
use crate::room::{message::SpaceChild, query::children_elsewhere};

/// How a room is asked for.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(10),
    bytes_max: 10 * 1024 * 1024,
};

/// What was told is believed for so long.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// So many servers are asked for a room.
const SERVERS_MAX: usize = 3;

/// A room that is elsewhere, and what its server told of its children.
#[derive(Debug)]
pub(super) struct FarRoom {
    /// What the room says of itself.
    pub(super) summary: RoomSummary,
    /// The rooms in it, if it is a space.
    pub(super) children: Vec<SpaceChild>,
    /// What is known of these rooms already; `None` for those that this server may not see.
    pub(super) hints: BTreeMap<OwnedRoomId, Option<RoomSummary>>,
}

#[derive(Deserialize)]
struct Answer {
    room: Box<RawValue>,
    #[serde(default)]
    children: Vec<Box<RawValue>>,
    #[serde(default)]
    inaccessible_children: Vec<OwnedRoomId>,
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    children_state: Vec<Box<RawValue>>,
}

impl Answer {
    /// The answer about this room; `None` when it is about another one.
    fn read(self, room_id: &RoomId) -> Option<FarRoom> {
        let room = summary(&self.room).filter(|room| room.room_id == room_id)?;
        let state: State = serde_json::from_str(self.room.get()).ok()?;
        let hidden = self.inaccessible_children.into_iter();
        let mut hints: BTreeMap<_, _> = hidden.map(|room_id| (room_id, None)).collect();
        let seen = self.children.iter().filter_map(|child| summary(child));
        hints.extend(seen.map(|child| (child.room_id.clone(), Some(child))));
        Some(FarRoom {
            summary: room,
            children: children_elsewhere(&state.children_state),
            hints,
        })
    }
}

/// A summary that can be passed on: rules that are not known let in who is invited.
fn summary(json: &RawValue) -> Option<RoomSummary> {
    let mut summary: RoomSummary = serde_json::from_str(json.get()).ok()?;
    let rule = std::mem::take(&mut summary.join_rule);
    summary.join_rule = match rule {
        JoinRuleSummary::Public
        | JoinRuleSummary::Knock
        | JoinRuleSummary::Private
        | JoinRuleSummary::Restricted(_)
        | JoinRuleSummary::KnockRestricted(_) => rule,
        _ => JoinRuleSummary::Invite,
    };
    Some(summary)
}

impl House {
    /// What other servers tell of a room that is not here; `None` when none of them tells.
    pub(super) async fn room_elsewhere(
        &self,
        room_id: &RoomId,
        (footing, via): (&Footing, &[OwnedServerName]),
        suggested_only: bool,
    ) -> Option<FarRoom> {
        let path = format!(
            "/_matrix/federation/v1/hierarchy/{}?suggested_only={suggested_only}",
            segment(room_id.as_str())
        );
        let servers = self.helpers(room_id, footing, via);
        for server in servers.iter().take(SERVERS_MAX) {
            let how = (PATIENCE, KEPT_FOR);
            let asked = self
                .ask_peer_once::<Answer>(server, path.clone(), how)
                .await;
            match asked.map(|answer| answer.read(room_id)) {
                Ok(Some(room)) => return Some(room),
                Ok(None) => tracing::debug!(%server, %room_id, "told of another room"),
                Err(error) => tracing::debug!(%server, %room_id, %error, "does not tell of a room"),
            }
        }
        None
    }

    /// Whether a user may know what a room says of itself that another server showed to this one.
    pub(super) async fn may_see_elsewhere(
        &self,
        (room, footing): (&RoomSummary, &Footing),
        user_id: &UserId,
    ) -> Result<bool, HouseError> {
        let told = footing.told.as_ref().and_then(|told| told.membership());
        if room.world_readable || told == Some(MembershipState::Invite) {
            return Ok(true);
        }
        match &room.join_rule {
            JoinRuleSummary::Public
            | JoinRuleSummary::Knock
            | JoinRuleSummary::KnockRestricted(_) => Ok(true),
            JoinRuleSummary::Restricted(rule) => {
                self.is_member_of_any(user_id, &rule.allowed_room_ids).await
            }
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    fn told(room_id: &str, rule: &str) -> serde_json::Value {
        json!({
            "room_id": room_id, "join_rule": rule, "num_joined_members": 2, "guest_can_join": false,
            "world_readable": false, "room_type": "m.space", "children_state": [],
        })
    }

    #[test]
    fn an_answer_is_about_the_room_that_was_asked_for() {
        let answer = json!({
            "room": told("!a:far.example", "org.example.strange"),
            "children": [told("!b:far.example", "public"), 7],
            "inaccessible_children": ["!c:far.example"],
        });
        let read = |room_id: &RoomId| {
            let answer: Answer = serde_json::from_value(answer.clone()).unwrap();
            answer.read(room_id)
        };
        let room = read(room_id!("!a:far.example")).unwrap();
        assert_eq!(room.summary.join_rule, JoinRuleSummary::Invite);
        assert!(room.hints[room_id!("!b:far.example")].is_some());
        assert!(room.hints[room_id!("!c:far.example")].is_none());
        assert_eq!(room.hints.len(), 2);
        assert!(read(room_id!("!b:far.example")).is_none());
    }
}
