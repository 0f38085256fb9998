//! A room of whose members some are not known yet: the server that let somebody in left them out (server-server API, `send_join` with `omit_members`;
//! MSC3706, MSC3902).
//!
//! All states since then have the same gaps, for each is made of the first by what has happened since. Once the members are known they are put into the first
//! one, and so into all.

use std::sync::Arc;

use playhouse_schema::{
    address::{Position, Sequence},
    record::room::{StateChange, StateCompleted, StateId, StatePartial},
};
use ruma::{
    EventId, OwnedEventId, OwnedServerName, ServerName,
    events::{StateEventType, TimelineEventType},
};
use serde::{Deserialize, Serialize};

use super::{
    Room,
    event::RoomEvent,
    message::{RoomCommand, RoomQuery},
    state::{InFlight, StateKey, StateMap},
};

/// What is known of a room whose state has gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialState {
    /// The record of the state that was told.
    pub first: StateId,
    /// The member event by which somebody came in: what is missing is of the state before it.
    pub join: OwnedEventId,
    /// The servers in the room as they were told; first the one that told.
    pub servers: Vec<OwnedServerName>,
}

/// The gaps in the states of a room: those that are open, and those that were closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gaps {
    open: Option<Arc<PartialState>>,
    closed: Arc<Vec<Closed>>,
}

/// Gaps that were closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closed {
    /// The first state that had them.
    pub(crate) first: StateId,
    /// The record that closed them.
    pub(crate) at: Sequence,
    /// That record's position in the shard; 0 until it is known.
    position: Position,
}

/// What a snapshot keeps of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredGaps {
    open: Option<(StateId, String, Vec<String>)>,
    closed: Vec<Closed>,
}

impl Gaps {
    /// The gaps that are open.
    pub(crate) fn open(&self) -> Option<&Arc<PartialState>> {
        self.open.as_ref()
    }

    /// The record that closed the gaps of a state, if it is the first that had them.
    pub(crate) fn closed_at(&self, state: StateId) -> Option<Sequence> {
        let found = self.closed.iter().find(|closed| closed.first == state);
        found.map(|closed| closed.at)
    }

    /// The gaps that a record closed.
    pub(crate) fn closed_by(&self, record: Sequence) -> Option<Closed> {
        let mut closed = self.closed.iter();
        closed.find(|closed| closed.at == record).copied()
    }

    /// The gaps that were open at a record and closed at another.
    pub(crate) fn closed_between(&self, since: Sequence, end: Sequence) -> Vec<Closed> {
        let is_between =
            |closed: &&Closed| closed.first <= since && since < closed.at && closed.at <= end;
        self.closed.iter().filter(is_between).copied().collect()
    }

    /// The newest record up to a position that closed any.
    pub(crate) fn closed_until(&self, position: Position) -> Option<Sequence> {
        let is_until = |closed: &&Closed| (1..=position).contains(&closed.position);
        let until = self.closed.iter().filter(is_until);
        until.map(|closed| closed.at).max()
    }

    /// The commit has told where the record landed that closed gaps.
    pub(crate) fn landed(&mut self, at: Sequence, position: Position) {
        for closed in Arc::make_mut(&mut self.closed) {
            if closed.at == at {
                closed.position = position;
            }
        }
    }

    /// What a snapshot keeps of it.
    pub(crate) fn stored(&self) -> StoredGaps {
        let open = self.open.as_ref().map(|open| {
            let servers = open.servers.iter().map(ToString::to_string).collect();
            (open.first, open.join.to_string(), servers)
        });
        StoredGaps {
            open,
            closed: self.closed.to_vec(),
        }
    }

    /// Reads what a snapshot keeps of it.
    pub(crate) fn from_stored(stored: &StoredGaps) -> Self {
        let mut gaps = Self {
            open: None,
            closed: Arc::new(stored.closed.clone()),
        };
        if let Some((first, join, servers)) = &stored.open {
            gaps.begin(*first, join, servers);
        }
        gaps
    }

    fn begin(&mut self, first: StateId, join: &str, servers: &[String]) {
        let Ok(join) = EventId::parse(join) else {
            return;
        };
        let servers = servers.iter();
        self.open = Some(Arc::new(PartialState {
            first,
            join,
            servers: servers
                .filter_map(|name| ServerName::parse(name).ok())
                .collect(),
        }));
    }
}

impl Room {
    /// What is known of the room while some of its members are not.
    pub fn partial(&self) -> Option<&Arc<PartialState>> {
        self.gaps.open()
    }

    /// Whether a server was told to be in the room, of whose members some are not known.
    pub(crate) fn is_told_inside(&self, server: &ServerName) -> bool {
        self.partial()
            .is_some_and(|partial| partial.servers.iter().any(|told| told == server))
    }

    /// Puts changes into the state in force.
    pub(super) fn put_changes(&mut self, changes: &[StateChange]) {
        // Events that a record names were recorded before it: they are in the recent window, loose, or in force.
        for change in changes {
            let key: StateKey = (change.event_type.as_str().into(), change.state_key.clone());
            let event = change.event.and_then(|wanted| self.held(wanted));
            let is_absent = event.is_none();
            self.put_state(key.clone(), event);
            if is_absent && let Some(wanted) = change.event {
                self.absent.insert(key, wanted);
            }
        }
    }

    /// Takes in that a state has gaps.
    pub(super) fn open_gaps(&mut self, partial: &StatePartial) {
        self.gaps
            .begin(partial.first, &partial.join, &partial.servers);
    }

    /// Takes in that a state has gaps no more.
    pub(super) fn close_gaps(
        &mut self,
        (at, position): (Sequence, Position),
        completed: &StateCompleted,
    ) {
        let first = completed.first;
        if position == 0 {
            self.in_flight.insert(at, InFlight::GapsClosed);
        }
        self.put_changes(&completed.changes);
        self.gaps.open.take_if(|open| open.first == first);
        Arc::make_mut(&mut self.gaps.closed).push(Closed {
            first,
            at,
            position,
        });
    }
}

impl RoomQuery {
    /// Whether the answer may depend on members that a room does not know yet.
    pub(super) fn depends_on_members(&self, room: &Room) -> bool {
        if room.partial().is_none() || !self.may_depend_on_members() {
            return false;
        }
        match self {
            Self::StateEvent {
                event_type,
                state_key,
                ..
            } => {
                let key: StateKey = (event_type.to_string().into(), state_key.clone());
                !room.current.contains_key(&key)
            }
            _ => true,
        }
    }

    /// Whether an answer may depend on all members of a room.
    pub(crate) fn may_depend_on_members(&self) -> bool {
        match self {
            Self::StateEvent { event_type, .. } => *event_type == StateEventType::RoomMember,
            Self::State { .. } | Self::Members { .. } | Self::Draft(_) | Self::Peer(_) => true,
            // The server itself asks for its own users.
            Self::JoinedMembers { reader } => reader.is_some(),
            _ => false,
        }
    }
}

impl RoomCommand {
    /// Whether the outcome may depend on members that a room does not know yet.
    pub(crate) fn may_depend_on_members(&self) -> bool {
        match self {
            Self::ChangeMembership(_) => true,
            Self::SendEvent(wish) => wish.event_type == TimelineEventType::RoomMember,
            _ => false,
        }
    }
}

/// A state with the members that an event names as authorising it and that the state has not: all that can be known of them while there are gaps.
pub(super) fn with_members(state: &StateMap, members: &[Arc<RoomEvent>]) -> StateMap {
    let mut state = state.clone();
    for event in members {
        let Some(state_key) = event.pdu.state_key.clone() else {
            continue;
        };
        if event.pdu.event_type == TimelineEventType::RoomMember {
            let key = (event.pdu.event_type.clone(), state_key);
            state.entry(key).or_insert_with(|| event.clone());
        }
    }
    state
}
