//! Looking after single rooms: what they take, why their state is what it is, whether others say the same, and folding them anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use playhouse_schema::{
    address::{Entity, Family, Sequence},
    port::KindSize,
};
use ruma::{EventId, OwnedEventId, OwnedServerName, RoomId, ServerName, events::TimelineEventType};
use serde::Deserialize;

use super::{
    House, HouseError,
    peers::{Patience, segment},
    surprise,
};
use crate::{
    admins::AdminError,
    room::{
        RoomError,
        event::RoomEvent,
        inspect::{Inspected, Inspection, RoomGraph, StateEntry},
    },
};

/// So many records are measured at once.
const MEASURED_AT_ONCE: Sequence = 50_000;

/// So many records are measured for one question.
const MEASURED_MAX: Sequence = 5_000_000;

/// So many of the events that allow one are told: the rules name fewer.
const ALLOWING_MAX: usize = 50;

/// So many of those that were in force before are told.
const BEFORE_MAX: usize = 20;

/// So many servers are asked for one comparison.
pub const COMPARED_MAX: usize = 10;

/// So many keys of a state are compared.
const STATE_MAX: usize = 500_000;

/// So many differences from one server are told.
const DIFFERENCES_MAX: usize = 200;

/// What a room takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomStorage {
    /// Its records, by kind.
    pub kinds: Vec<KindSize>,
    /// The bytes of its snapshot.
    pub snapshot_bytes: u64,
    /// The newest record.
    pub sequence: Sequence,
    /// There are too many records: the oldest were not measured.
    pub is_partial: bool,
}

/// Why something is in force.
#[derive(Clone, Debug)]
pub struct StateReason {
    /// What is.
    pub in_force: StateEntry,
    /// The events that allow it, as far as they are recorded.
    pub allowing: Vec<Arc<RoomEvent>>,
    /// Those that are not.
    pub unknown: Vec<OwnedEventId>,
    /// What was in force before, the newest first.
    pub before: Vec<Arc<RoomEvent>>,
}

/// How what a server says of a room's state differs from what is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Why it could not be asked.
    pub error: Option<String>,
    /// So many events it names.
    pub named: usize,
    /// In force here, and not there.
    pub only_here: Vec<StateEntry>,
    /// In force there, and not here.
    pub only_there: Vec<OwnedEventId>,
    /// There are more differences than are told.
    pub is_cut: bool,
}

/// A comparison of a room's state with what other servers say.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The state before this event was compared.
    pub event_id: OwnedEventId,
    /// The room's graph has several ends, or its state is not known or not compared in full: what was compared need not be the state before that event, so that
    /// differences may be none.
    pub is_rough: bool,
    /// By server.
    pub servers: Vec<(OwnedServerName, Difference)>,
}

#[derive(Deserialize)]
struct ToldIds {
    pdu_ids: Vec<OwnedEventId>,
}

impl House {
    /// What the records of a room take, by kind, the newest ones first.
    pub async fn room_storage(&self, room_id: &RoomId) -> Result<RoomStorage, HouseError> {
        let entity = Entity::room(room_id.as_str());
        let heads = self.store.entity_heads(std::slice::from_ref(&entity));
        let head = heads.await?.into_iter().flatten().next();
        let newest = head.ok_or(RoomError::UnknownRoom)?.sequence;
        let oldest = newest.saturating_sub(MEASURED_MAX) + 1;
        let mut kinds = BTreeMap::<_, KindSize>::new();
        let mut to = newest;
        while to >= oldest {
            let from = to.saturating_sub(MEASURED_AT_ONCE - 1).max(oldest);
            for size in self.store.sizes(&entity, (from, to)).await? {
                let known = kinds.entry(size.kind).or_insert(KindSize {
                    records: 0,
                    bytes: 0,
                    ..size
                });
                known.records += size.records;
                known.bytes += size.bytes;
            }
            to = from - 1;
        }
        let snapshot = self.store.load_snapshot(&entity).await?;
        Ok(RoomStorage {
            kinds: kinds.into_values().collect(),
            snapshot_bytes: snapshot.map_or(0, |snapshot| snapshot.payload.len() as u64),
            sequence: newest,
            is_partial: oldest > 1,
        })
    }

    /// Where a room's event graph ends, and what else is to be said of it.
    pub async fn room_graph(&self, room_id: &RoomId) -> Result<RoomGraph, HouseError> {
        match self.inspect_room(room_id, Inspection::Graph).await? {
            Inspected::Graph(graph) => Ok(graph),
            _ => Err(surprise("Graph")),
        }
    }

    /// Why something is in force. Refused with `NotFound` when nothing is.
    pub async fn state_reason(
        &self,
        room_id: &RoomId,
        (event_type, state_key): (TimelineEventType, String),
    ) -> Result<StateReason, HouseError> {
        let asked = Inspection::InForce {
            event_type,
            state_key,
        };
        let Inspected::InForce(found) = self.inspect_room(room_id, asked).await? else {
            return Err(surprise("InForce"));
        };
        let in_force = found.ok_or(RoomError::NotFound)?;
        let (mut allowing, mut unknown) = (Vec::new(), Vec::new());
        for event_id in in_force.auth_events.iter().take(ALLOWING_MAX) {
            let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
            let event = match &stored {
                Some(stored) if stored.entity.name() == room_id.as_str() => {
                    RoomEvent::from_stored(stored)?
                }
                _ => None,
            };
            match event {
                Some(event) => allowing.push(event),
                None => unknown.push(event_id.clone()),
            }
        }
        let before = self.replaced_by(room_id, in_force.replaces).await?;
        Ok(StateReason {
            in_force,
            allowing,
            unknown,
            before,
        })
    }

    /// What was in force before, step by step.
    async fn replaced_by(
        &self,
        room_id: &RoomId,
        mut replaces: Option<Sequence>,
    ) -> Result<Vec<Arc<RoomEvent>>, HouseError> {
        let entity = Entity::room(room_id.as_str());
        let mut before = Vec::new();
        while let Some(sequence) = replaces.filter(|_| before.len() < BEFORE_MAX) {
            let found = self.store.read_some(&entity, &[sequence]).await?;
            let Some(stored) = found.first() else {
                break;
            };
            let Some(event) = RoomEvent::from_stored(stored)? else {
                break;
            };
            replaces = event.replaces.filter(|older| *older < sequence);
            before.push(event);
        }
        Ok(before)
    }

    /// Asks servers for the state of a room, and tells how it differs from what is in force here.
    pub async fn compare_state(
        &self,
        room_id: &RoomId,
        servers: &BTreeSet<OwnedServerName>,
    ) -> Result<Comparison, HouseError> {
        if servers.is_empty() || servers.len() > COMPARED_MAX {
            return Err(AdminError::Invalid("from 1 to 10 servers are asked".to_owned()).into());
        }
        let graph = self.room_graph(room_id).await?;
        let deepest = graph.ends.iter().max_by_key(|end| end.depth);
        let end = deepest.ok_or(RoomError::NotFound)?.event_id.clone();
        let ours = self.state_before_end(room_id, &end).await?;
        let asked = servers.iter().map(|server| {
            let question = (room_id, &*end);
            self.difference(server, question, &ours)
        });
        let told = join_all(asked).await;
        Ok(Comparison {
            is_rough: graph.ends.len() > 1 || graph.has_gaps || ours.len() >= STATE_MAX,
            event_id: end.clone(),
            servers: servers.iter().cloned().zip(told).collect(),
        })
    }

    /// What is in force, with what an end of the graph has replaced in its place.
    async fn state_before_end(
        &self,
        room_id: &RoomId,
        end: &OwnedEventId,
    ) -> Result<BTreeMap<OwnedEventId, StateEntry>, HouseError> {
        let mut state = BTreeMap::new();
        let mut after = None;
        loop {
            let asked = Inspection::State { after };
            let Inspected::State(page, has_more) = self.inspect_room(room_id, asked).await? else {
                return Err(surprise("State"));
            };
            let last = page.last();
            after = last.map(|last| (last.event_type.clone(), last.state_key.clone()));
            state.extend(
                page.into_iter()
                    .map(|entry| (entry.event_id.clone(), entry)),
            );
            if !has_more || state.len() >= STATE_MAX {
                break;
            }
        }
        if let Some(entry) = state.remove(end) {
            let replaced = self.replaced_by(room_id, entry.replaces).await?;
            if let Some(event) = replaced.into_iter().next() {
                let event_id = event.pdu.event_id.clone();
                let older = StateEntry {
                    event_id: event_id.clone(),
                    sequence: event.sequence,
                    position: event.position(),
                    sender: event.pdu.sender.clone(),
                    auth_events: event.pdu.auth_events.clone(),
                    replaces: event.replaces,
                    ..entry
                };
                state.insert(event_id, older);
            }
        }
        Ok(state)
    }

    async fn difference(
        &self,
        server: &ServerName,
        (room_id, event_id): (&RoomId, &EventId),
        ours: &BTreeMap<OwnedEventId, StateEntry>,
    ) -> Difference {
        if self.is_local(server) {
            return Difference {
                error: Some("this is the server itself".to_owned()),
                ..Difference::default()
            };
        }
        let (room, event) = (segment(room_id.as_str()), segment(event_id.as_str()));
        let path = format!("/_matrix/federation/v1/state_ids/{room}?event_id={event}");
        let told: Result<ToldIds, _> = self.ask_peer(server, path, Patience::IDS).await;
        let theirs: BTreeSet<OwnedEventId> = match told {
            Ok(told) => told.pdu_ids.into_iter().collect(),
            Err(error) => {
                return Difference {
                    error: Some(error.to_string()),
                    ..Difference::default()
                };
            }
        };
        let here = ours.iter().filter(|(id, _)| !theirs.contains(*id));
        let mut only_here: Vec<_> = here.map(|(_, entry)| entry.clone()).collect();
        let there = theirs.iter().filter(|id| !ours.contains_key(*id));
        let mut only_there: Vec<_> = there.cloned().collect();
        let is_cut = only_here.len() > DIFFERENCES_MAX || only_there.len() > DIFFERENCES_MAX;
        only_here.truncate(DIFFERENCES_MAX);
        only_there.truncate(DIFFERENCES_MAX);
        Difference {
            error: None,
            named: theirs.len(),
            only_here,
            only_there,
            is_cut,
        }
    }

    /// Lets a room read its whole log again, whatever its snapshot says. Answers how it stood before and how it stands. Who asks the room meanwhile waits.
    pub async fn refold_room(
        &self,
        room_id: &RoomId,
    ) -> Result<(RoomGraph, RoomGraph), HouseError> {
        let before = self.room_graph(room_id).await?;
        let entity = Entity::room(room_id.as_str());
        if !self.rooms.renew(&entity).await {
            return Err(HouseError::Busy);
        }
        let after = self.room_graph(room_id).await?;
        // The life before may have written it while it ended, and each later one would believe it again.
        self.store.drop_snapshot(&entity).await?;
        Ok((before, after))
    }
}
