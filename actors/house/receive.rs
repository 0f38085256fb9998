//! Events of other servers: checked, put where they belong, and what they rest on fetched (server-server API, "Transactions", "Checks performed on receipt
//! of a PDU").

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use playhouse_schema::record::room::Placement;
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    House, HouseError,
    peers::{Patience, segment},
    surprise,
};
use crate::{
    network::{KeysWanted, PeerError, PeerMethod},
    room::{
        RoomAnswer, RoomError, RoomQuery,
        answer::RoomGate,
        receive::{
            CheckedPdu, Fate, Fates, Receive, ReceivedEvent, Role,
            check::{RawPdu, in_auth_order, with_own_keys},
        },
    },
};

/// So many rooms of one transaction are worked on at a time.
const ROOMS_AT_ONCE: usize = 8;

/// So often what is missing is asked for before an event is given up.
const ROUNDS_MAX: usize = 8;

/// So many missing events are asked for at once (`get_missing_events`).
const MISSING_MAX: usize = 50;

/// So many predecessors whose state must be asked for are looked after in one go.
const GAPS_MAX: usize = 5;

/// So many events are fetched one by one rather than with the whole state.
const SINGLE_EVENTS_MAX: usize = 50;

/// So many requests for single events are under way.
const FETCHES_AT_ONCE: usize = 8;

/// What became of an event of a transaction: nothing, or why it is not part of the room.
pub type PduOutcome = Result<(), String>;

#[derive(Deserialize)]
struct Envelope {
    room_id: Option<OwnedRoomId>,
}

#[derive(Deserialize)]
struct Pdus {
    #[serde(default, alias = "events", alias = "auth_chain")]
    pdus: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct WholeState {
    pdus: Vec<Box<RawValue>>,
    auth_chain: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct StateIds {
    pdu_ids: Vec<OwnedEventId>,
    auth_chain_ids: Vec<OwnedEventId>,
}

/// A room and the server that brings events of it.
#[derive(Clone, Copy)]
struct Scene<'a> {
    origin: &'a ServerName,
    room_id: &'a RoomId,
    gate: &'a RoomGate,
}

impl House {
    /// Takes in the events of a transaction: by event ID, what became of each. Events whose ID cannot be told are left out.
    pub async fn receive_pdus(
        &self,
        origin: &ServerName,
        pdus: Vec<Box<RawValue>>,
    ) -> Result<BTreeMap<OwnedEventId, PduOutcome>, HouseError> {
        let mut by_room: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>> = BTreeMap::new();
        for pdu in pdus {
            // An event that does not even name its room has no ID that could be told; create events come with joins, not by themselves.
            if let Ok(Envelope {
                room_id: Some(room_id),
            }) = serde_json::from_str(pdu.get())
            {
                by_room.entry(room_id).or_default().push(pdu);
            }
        }
        let rooms = stream::iter(by_room)
            .map(|(room_id, pdus)| self.receive_in_room(origin, room_id, pdus));
        let mut outcomes = BTreeMap::new();
        let mut rooms = rooms.buffer_unordered(ROOMS_AT_ONCE);
        while let Some(outcome) = rooms.next().await {
            outcomes.extend(outcome?);
        }
        Ok(outcomes)
    }

    /// What a room says of a server.
    pub async fn room_gate(
        &self,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<RoomGate, HouseError> {
        let query = RoomQuery::Gate {
            own: self.env.server_name().to_owned(),
            peer: server.to_owned(),
        };
        match self.room_query(room_id, query).await? {
            RoomAnswer::Gate(gate) => Ok(*gate),
            _ => Err(surprise("Gate")),
        }
    }

    async fn receive_in_room(
        &self,
        origin: &ServerName,
        room_id: OwnedRoomId,
        pdus: Vec<Box<RawValue>>,
    ) -> Result<BTreeMap<OwnedEventId, PduOutcome>, HouseError> {
        let gate = match self.room_gate(&room_id, origin).await {
            Ok(gate) => gate,
            // Of a room that is not here hardly anything can be told, not even its events' IDs.
            Err(HouseError::Room(RoomError::UnknownRoom)) => {
                return self.hear_from_outside(&room_id, &pdus).await;
            }
            Err(error) => return Err(error),
        };
        let scene = Scene {
            origin,
            room_id: &room_id,
            gate: &gate,
        };
        let mut outcomes = BTreeMap::new();
        let (checked, flawed) = self.checked(scene, &pdus).await?;
        outcomes.extend(flawed);
        let refusal = if !gate.admits {
            Some("the server is not admitted by the room's ACL")
        } else if !gate.inhabited {
            Some("nobody of this server is in the room")
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let refused = checked.into_iter();
            outcomes.extend(refused.map(|pdu| (pdu.event_id, Err(refusal.to_owned()))));
            if !gate.inhabited {
                outcomes.extend(self.hear_from_outside(&room_id, &pdus).await?);
            }
            return Ok(outcomes);
        }
        for (event_id, fate) in self.take_in(scene, checked).await? {
            outcomes.insert(event_id, outcome_of(fate));
        }
        Ok(outcomes)
    }

    /// Takes in checked events with all they need.
    async fn take_in(&self, scene: Scene<'_>, pdus: Vec<CheckedPdu>) -> Result<Fates, HouseError> {
        let mut events: Vec<_> = pdus.into_iter().map(next).collect();
        let wanted: BTreeSet<_> = events
            .iter()
            .map(|event| event.pdu.event_id.clone())
            .collect();
        let mut fates: BTreeMap<OwnedEventId, Fate> = BTreeMap::new();
        for round in 0..ROUNDS_MAX {
            let told = self.receive(scene.room_id, None, events.clone()).await?;
            let mut prev_missing = BTreeSet::new();
            let mut auth_missing = BTreeSet::new();
            let mut open = BTreeSet::new();
            for (event_id, fate) in told {
                if let Fate::Wanting {
                    prev_events,
                    auth_events,
                } = &fate
                {
                    prev_missing.extend(prev_events.iter().cloned());
                    auth_missing.extend(auth_events.iter().cloned());
                    open.insert(event_id.clone());
                }
                if wanted.contains(&event_id) && fates.get(&event_id).is_none_or(is_open) {
                    fates.insert(event_id, fate);
                }
            }
            events.retain(|event| open.contains(&event.pdu.event_id));
            // What stands in the list itself is not missing.
            prev_missing.retain(|event_id| !open.contains(event_id));
            auth_missing.retain(|event_id| !open.contains(event_id));
            if open.is_empty() || round + 1 == ROUNDS_MAX {
                break;
            }
            let latest: Vec<_> = open.into_iter().collect();
            let found = self
                .what_is_missing(scene, round, &latest, (prev_missing, auth_missing))
                .await?;
            if found.is_empty() {
                break;
            }
            events.splice(0..0, found);
        }
        Ok(fates.into_iter().collect())
    }

    /// Fetches what some events lack.
    async fn what_is_missing(
        &self,
        scene: Scene<'_>,
        round: usize,
        latest: &[OwnedEventId],
        (prev_missing, auth_missing): (BTreeSet<OwnedEventId>, BTreeSet<OwnedEventId>),
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let mut found = Vec::new();
        if !auth_missing.is_empty() {
            found.extend(self.outliers(scene, latest, &auth_missing).await?);
        }
        if !prev_missing.is_empty() {
            let between = if round < ROUNDS_MAX / 2 {
                self.missing_events(scene, latest).await?
            } else {
                Vec::new()
            };
            if between.is_empty() {
                for event_id in prev_missing.iter().take(GAPS_MAX) {
                    found.extend(self.across_gap(scene, event_id).await?);
                }
            } else {
                found.extend(between);
            }
        }
        Ok(found)
    }

    /// What lies between what is known here and some events.
    async fn missing_events(
        &self,
        scene: Scene<'_>,
        latest: &[OwnedEventId],
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let room = segment(scene.room_id.as_str());
        let path = format!("/_matrix/federation/v1/get_missing_events/{room}");
        let body = json!({
            "earliest_events": scene.gate.extremities, "latest_events": latest, "limit": MISSING_MAX, "min_depth": 0,
        });
        let asked: Result<Pdus, _> = self
            .tell_peer(
                scene.origin,
                (PeerMethod::Post, path),
                &body,
                Patience::SHORT,
            )
            .await;
        let pdus = told(scene, asked).map_or(Vec::new(), |pdus| pdus.pdus);
        let (checked, _) = self.checked(scene, &pdus).await?;
        let is_asked = |pdu: &CheckedPdu| !latest.contains(&pdu.event_id);
        Ok(checked.into_iter().filter(is_asked).map(next).collect())
    }

    /// Authorising events that are not known, with theirs.
    async fn outliers(
        &self,
        scene: Scene<'_>,
        of: &[OwnedEventId],
        missing: &BTreeSet<OwnedEventId>,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        #[derive(Deserialize)]
        struct AuthChain {
            auth_chain: Vec<Box<RawValue>>,
        }
        let mut found = Vec::new();
        for event_id in of.iter().take(GAPS_MAX) {
            let room = segment(scene.room_id.as_str());
            let event = segment(event_id.as_str());
            let path = format!("/_matrix/federation/v1/event_auth/{room}/{event}");
            let asked: Result<AuthChain, _> =
                self.ask_peer(scene.origin, path, Patience::LONG).await;
            let chain = told(scene, asked).map_or(Vec::new(), |chain| chain.auth_chain);
            let (checked, _) = self.checked(scene, &chain).await?;
            found.extend(checked);
            if missing
                .iter()
                .all(|id| found.iter().any(|pdu| pdu.event_id == *id))
            {
                break;
            }
        }
        Ok(in_auth_order(found).into_iter().map(outlier).collect())
    }

    /// An event whose predecessors nobody brings, with the state before it.
    async fn across_gap(
        &self,
        scene: Scene<'_>,
        event_id: &OwnedEventId,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let Some(pdu) = self
            .single_pdus(scene, std::slice::from_ref(event_id))
            .await?
            .pop()
        else {
            return Ok(Vec::new());
        };
        let room = segment(scene.room_id.as_str());
        let event = segment(event_id.as_str());
        let path = format!("/_matrix/federation/v1/state_ids/{room}?event_id={event}");
        let asked: Result<StateIds, _> = self.ask_peer(scene.origin, path, Patience::LONG).await;
        let Some(ids) = told(scene, asked) else {
            return Ok(Vec::new());
        };
        let all: Vec<_> = ids
            .auth_chain_ids
            .iter()
            .chain(&ids.pdu_ids)
            .cloned()
            .collect();
        let unknown = self.unknown_of(scene.room_id, all).await?;
        let fetched = if unknown.len() > SINGLE_EVENTS_MAX {
            self.whole_state(scene, event_id).await?
        } else {
            self.single_pdus(scene, &unknown).await?
        };
        let mut events: Vec<_> = in_auth_order(fetched).into_iter().map(outlier).collect();
        events.push(ReceivedEvent {
            pdu,
            role: Role::Given {
                state: ids.pdu_ids,
                placement: Placement::Backfilled,
            },
        });
        Ok(events)
    }

    async fn whole_state(
        &self,
        scene: Scene<'_>,
        event_id: &OwnedEventId,
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let room = segment(scene.room_id.as_str());
        let event = segment(event_id.as_str());
        let path = format!("/_matrix/federation/v1/state/{room}?event_id={event}");
        let asked: Result<WholeState, _> = self.ask_peer(scene.origin, path, Patience::LONG).await;
        let Some(state) = told(scene, asked) else {
            return Ok(Vec::new());
        };
        let mut pdus = state.auth_chain;
        pdus.extend(state.pdus);
        Ok(self.checked(scene, &pdus).await?.0)
    }

    async fn single_pdus(
        &self,
        scene: Scene<'_>,
        event_ids: &[OwnedEventId],
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let fetches = stream::iter(event_ids.to_vec()).map(|event_id| async move {
            let event = segment(event_id.as_str());
            let path = format!("/_matrix/federation/v1/event/{event}");
            let asked: Result<Pdus, _> = self.ask_peer(scene.origin, path, Patience::SHORT).await;
            told(scene, asked).map_or(Vec::new(), |pdus| pdus.pdus)
        });
        let answers: Vec<_> = fetches.buffer_unordered(FETCHES_AT_ONCE).collect().await;
        let pdus: Vec<_> = answers.into_iter().flatten().collect();
        let (checked, _) = self.checked(scene, &pdus).await?;
        let is_asked = |pdu: &CheckedPdu| event_ids.contains(&pdu.event_id);
        Ok(checked.into_iter().filter(is_asked).collect())
    }

    /// Those of some events that the room has no record of.
    pub(super) async fn unknown_of(
        &self,
        room_id: &RoomId,
        event_ids: Vec<OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, HouseError> {
        match self
            .room_query(room_id, RoomQuery::Unknown { event_ids })
            .await
        {
            Ok(RoomAnswer::EventIds(unknown)) => Ok(unknown),
            Ok(_) => Err(surprise("Unknown")),
            Err(error) => Err(error.into()),
        }
    }

    /// Has the room take in a list.
    pub(super) async fn receive(
        &self,
        room_id: &RoomId,
        version: Option<ruma::RoomVersionId>,
        events: Vec<ReceivedEvent>,
    ) -> Result<Fates, HouseError> {
        let wish = Box::new(Receive { events });
        match self
            .room_query(room_id, RoomQuery::Receive { version, wish })
            .await?
        {
            RoomAnswer::Received(fates) => Ok(fates),
            _ => Err(surprise("Receive")),
        }
    }

    async fn checked(
        &self,
        scene: Scene<'_>,
        pdus: &[Box<RawValue>],
    ) -> Result<(Vec<CheckedPdu>, BTreeMap<OwnedEventId, PduOutcome>), HouseError> {
        self.checked_of(scene.room_id, &scene.gate.version, pdus)
            .await
    }

    /// Reads and checks events: the good ones, and what is wrong with the others.
    pub(super) async fn checked_of(
        &self,
        room_id: &RoomId,
        version: &ruma::RoomVersionId,
        pdus: &[Box<RawValue>],
    ) -> Result<(Vec<CheckedPdu>, BTreeMap<OwnedEventId, PduOutcome>), HouseError> {
        let unsupported = || RoomError::UnsupportedVersion(version.clone());
        let rules = version.rules().ok_or_else(unsupported)?;
        let mut flaws = BTreeMap::new();
        let mut wanted = KeysWanted::new();
        let mut raw = Vec::with_capacity(pdus.len());
        for pdu in pdus {
            let Ok(pdu) = RawPdu::read(pdu.get(), &rules) else {
                continue;
            };
            match pdu.want_keys(&rules, &mut wanted) {
                Ok(()) => raw.push(pdu),
                Err(flaw) => drop(flaws.insert(pdu.event_id, Err(flaw.to_string()))),
            }
        }
        let own: OwnedServerName = self.env.server_name().to_owned();
        wanted.remove(&own);
        let keys = if wanted.is_empty() {
            ruma::signatures::PublicKeyMap::new()
        } else {
            self.env.network.keys(wanted).await
        };
        let keys = with_own_keys(keys, &self.env);
        let mut good = Vec::with_capacity(raw.len());
        for pdu in raw {
            let event_id = pdu.event_id.clone();
            match pdu.check(room_id, &rules, &keys) {
                Ok(pdu) => good.push(pdu),
                Err(flaw) => drop(flaws.insert(event_id, Err(flaw.to_string()))),
            }
        }
        Ok((good, flaws))
    }
}

fn next(pdu: CheckedPdu) -> ReceivedEvent {
    let role = Role::Next;
    ReceivedEvent { pdu, role }
}

/// An event that only authorises others.
pub(super) fn outlier(pdu: CheckedPdu) -> ReceivedEvent {
    let role = Role::Outlier;
    ReceivedEvent { pdu, role }
}

fn is_open(fate: &Fate) -> bool {
    matches!(fate, Fate::Wanting { .. })
}

fn outcome_of(fate: Fate) -> PduOutcome {
    match fate {
        // A sender need not know that its event is not shown here.
        Fate::Accepted | Fate::Known | Fate::SoftFailed(_) => Ok(()),
        Fate::Rejected(reason) => Err(reason),
        Fate::Wanting { .. } => Err("what this event rests on cannot be found".to_owned()),
    }
}

/// What a server told; a failure is noted and counts as nothing.
fn told<T>(scene: Scene<'_>, asked: Result<T, PeerError>) -> Option<T> {
    asked
        .inspect_err(|error| {
            let (origin, room_id) = (scene.origin, scene.room_id);
            tracing::info!(%origin, %room_id, %error, "what an event rests on cannot be fetched");
        })
        .ok()
}
