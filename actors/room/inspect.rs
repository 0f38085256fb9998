//! What a room tells those who look after the server: where its event graph ends, and what is in force. From memory only, whoever asks.

use playhouse_schema::{
    address::{Position, Sequence},
    record::room::StateId,
};
use ruma::{OwnedEventId, OwnedUserId, RoomVersionId, events::TimelineEventType};
use serde::{Deserialize, Serialize};

use super::{Room, event::RoomEvent};

/// So much of the state is told at once.
pub const STATE_PAGE_MAX: usize = 1_000;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Inspection {
    /// Where the room stands.
    Graph,
    /// What is in force under a key.
    InForce {
        /// Event type.
        event_type: TimelineEventType,
        /// State key.
        state_key: String,
    },
    /// What is in force at all, in the order of the keys: at most [`STATE_PAGE_MAX`].
    State {
        /// After this key.
        after: Option<(TimelineEventType, String)>,
    },
}

/// What is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Inspected {
    /// Where the room stands.
    Graph(RoomGraph),
    /// What is in force under a key, if anything is.
    InForce(Option<StateEntry>),
    /// What is in force, and whether there is more.
    State(Vec<StateEntry>, bool),
}

/// Where a room stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomGraph {
    /// The version.
    pub version: Option<RoomVersionId>,
    /// The number of the newest record.
    pub sequence: Sequence,
    /// The record that made the state in force.
    pub state_id: StateId,
    /// So many keys are in force.
    pub state_events: u64,
    /// Members that have joined.
    pub joined: u64,
    /// Users that are invited.
    pub invited: u64,
    /// The ends of the event graph.
    pub ends: Vec<GraphEnd>,
    /// Whether a record other than a plain state event has ever set the state.
    pub forked: bool,
    /// Not all members are known yet.
    pub has_gaps: bool,
    /// Bytes of the events that are held in memory.
    pub held_bytes: u64,
}

/// An end of the event graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphEnd {
    /// The event.
    pub event_id: OwnedEventId,
    /// Its depth.
    pub depth: u64,
    /// The state after it.
    pub after: StateId,
}

/// A state event that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// Event type.
    pub event_type: TimelineEventType,
    /// State key.
    pub state_key: String,
    /// The event.
    pub event_id: OwnedEventId,
    /// Its number among the room's records.
    pub sequence: Sequence,
    /// Its position in the shard; 0 where that is not known.
    pub position: Position,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// The events that allow it.
    pub auth_events: Vec<OwnedEventId>,
    /// What it replaced, by its number.
    pub replaces: Option<Sequence>,
}

impl StateEntry {
    fn of((event_type, state_key): &(TimelineEventType, String), event: &RoomEvent) -> Self {
        Self {
            event_type: event_type.clone(),
            state_key: state_key.clone(),
            event_id: event.pdu.event_id.clone(),
            sequence: event.sequence,
            position: event.position(),
            sender: event.pdu.sender.clone(),
            auth_events: event.pdu.auth_events.clone(),
            replaces: event.replaces,
        }
    }
}

/// Answers.
pub(super) fn inspect(room: &Room, asked: Inspection) -> Inspected {
    match asked {
        Inspection::Graph => Inspected::Graph(graph(room)),
        Inspection::InForce {
            event_type,
            state_key,
        } => {
            let key = (event_type, state_key);
            let found = room.current.get(&key);
            Inspected::InForce(found.map(|event| StateEntry::of(&key, event)))
        }
        Inspection::State { after } => {
            use std::ops::Bound::{Excluded, Unbounded};
            let from = after.map_or(Unbounded, Excluded);
            let mut found = room.current.range((from, Unbounded));
            let page: Vec<_> = found
                .by_ref()
                .take(STATE_PAGE_MAX)
                .map(|(key, event)| StateEntry::of(key, event))
                .collect();
            let has_more = found.next().is_some();
            Inspected::State(page, has_more)
        }
    }
}

fn graph(room: &Room) -> RoomGraph {
    let ends = room.extremities.iter().map(|end| GraphEnd {
        event_id: end.event_id.clone(),
        depth: end.depth,
        after: end.after,
    });
    RoomGraph {
        version: room.version.clone(),
        sequence: room.sequence,
        state_id: room.current_id,
        state_events: room.current.len() as u64,
        joined: room.joined_count,
        invited: room.invited_count,
        ends: ends.collect(),
        forked: room.forked,
        has_gaps: room.partial().is_some(),
        held_bytes: room.held_bytes as u64,
    }
}
