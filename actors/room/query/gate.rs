//! What a room says of a server that brings events.

use std::sync::Arc;

use ruma::{
    OwnedEventId, OwnedServerName, OwnedUserId, RoomVersionId, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};

use super::super::{
    acl,
    error::RoomError,
    gaps::PartialState,
    policy::PolicyServer,
    state::{Room, membership_of},
};

/// What a room says of a server, and of itself to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoomGate {
    /// The version.
    pub version: RoomVersionId,
    /// The room's server ACL lets the server in.
    pub admits: bool,
    /// Somebody of this server has joined.
    pub inhabited: bool,
    /// Somebody of the other server has joined.
    pub peer_inhabits: bool,
    /// The ends of the graph.
    pub extremities: Vec<OwnedEventId>,
    /// Local users that are invited or knock: who may be told of the room although nobody is in it.
    pub waiting: Vec<OwnedUserId>,
    /// Servers of joined members, but for this one and the one that asks; some of them.
    pub others: Vec<OwnedServerName>,
    /// What is known of a room of whose members some are not.
    pub partial: Option<Arc<PartialState>>,
    /// The policy server in force.
    pub policy: Option<PolicyServer>,
    /// Events of other servers wait that cannot be taken in yet.
    #[serde(default)]
    pub parks: bool,
}

/// So many other servers are named.
const OTHERS_MAX: usize = 20;

/// Answers.
pub(super) fn gate(
    room: &Room,
    own: &ServerName,
    peer: &ServerName,
) -> Result<RoomGate, RoomError> {
    let version = room.version.clone().ok_or(RoomError::UnknownRoom)?;
    let mut gate = RoomGate {
        version,
        admits: acl::admits(room, peer),
        inhabited: false,
        peer_inhabits: false,
        extremities: room
            .extremities
            .iter()
            .map(|end| end.event_id.clone())
            .collect(),
        waiting: Vec::new(),
        others: Vec::new(),
        partial: room.partial().cloned(),
        policy: room.policy_server(),
        parks: !room.parked.is_empty(),
    };
    let first = (TimelineEventType::RoomMember, String::new());
    let members = room.current.range(first..);
    for ((_, state_key), event) in
        members.take_while(|((event_type, _), _)| *event_type == TimelineEventType::RoomMember)
    {
        let Ok(user_id) = <&UserId>::try_from(state_key.as_str()) else {
            continue;
        };
        let server = user_id.server_name();
        match membership_of(event) {
            Some(MembershipState::Join) if server == own => gate.inhabited = true,
            Some(MembershipState::Join) if server == peer => gate.peer_inhabits = true,
            Some(MembershipState::Join) => {
                let is_new = gate.others.len() < OTHERS_MAX
                    && !gate.others.iter().any(|other| other == server);
                if is_new {
                    gate.others.push(server.to_owned());
                }
            }
            Some(MembershipState::Invite | MembershipState::Knock) if server == own => {
                gate.waiting.push(user_id.to_owned());
            }
            _ => {}
        }
    }
    if let Some(partial) = room.partial() {
        gate.peer_inhabits |= partial.servers.iter().any(|told| told == peer);
        for server in &partial.servers {
            let is_new = server != own && server != peer && !gate.others.contains(server);
            if is_new && gate.others.len() < OTHERS_MAX {
                gate.others.push(server.clone());
            }
        }
    }
    Ok(gate)
}
