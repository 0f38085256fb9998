//! Single rooms, as those see them who look after the server: what they take, why their state is what it is, and repairing them.

mod compare;
mod discard_parked_pdu;
mod graph;
mod refold;
mod retry_parked_pdus;
mod storage;
mod why;

use playhouse_actors::{
    admins::AdminRole,
    room::inspect::{RoomGraph, StateEntry},
};
use ruma::{OwnedEventId, OwnedUserId, RoomVersionId};
use serde::Serialize;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(compare::handle).role(AdminRole::Operate);
    routes
        .mount(discard_parked_pdu::handle)
        .role(AdminRole::Operate);
    routes.mount(graph::handle);
    routes.mount(refold::handle).role(AdminRole::Operate);
    routes
        .mount(retry_parked_pdus::handle)
        .role(AdminRole::Operate);
    routes.mount(storage::handle);
    routes.mount(why::handle);
}

/// Where a room stands.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownGraph {
    room_version: Option<RoomVersionId>,
    /// The newest record.
    sequence: u64,
    /// The record that made the state in force.
    state_id: u64,
    state_events: u64,
    joined_members: u64,
    invited_members: u64,
    forward_extremities: Vec<End>,
    /// Something else than plain state events has set the state at some time.
    forked: bool,
    /// Not all members are known yet.
    partial_state: bool,
    memory_bytes: u64,
}

/// An end of the event graph.
#[derive(Clone, Debug, Serialize)]
struct End {
    event_id: OwnedEventId,
    depth: u64,
    state_after: u64,
}

impl From<RoomGraph> for ShownGraph {
    fn from(graph: RoomGraph) -> Self {
        let ends = graph.ends.into_iter().map(|end| End {
            event_id: end.event_id,
            depth: end.depth,
            state_after: end.after,
        });
        Self {
            forward_extremities: ends.collect(),
            room_version: graph.version,
            sequence: graph.sequence,
            state_id: graph.state_id,
            state_events: graph.state_events,
            joined_members: graph.joined,
            invited_members: graph.invited,
            forked: graph.forked,
            partial_state: graph.has_gaps,
            memory_bytes: graph.held_bytes,
        }
    }
}

/// A state event, without what it says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ShownEntry {
    #[serde(rename = "type")]
    event_type: String,
    state_key: String,
    event_id: OwnedEventId,
    sender: OwnedUserId,
    sequence: u64,
}

impl From<StateEntry> for ShownEntry {
    fn from(entry: StateEntry) -> Self {
        Self {
            event_type: entry.event_type.to_string(),
            state_key: entry.state_key,
            event_id: entry.event_id,
            sender: entry.sender,
            sequence: entry.sequence,
        }
    }
}
