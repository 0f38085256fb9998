//! Events of other servers: checked, put where they belong, and what they rest on fetched (server-server API, "Transactions", "Checks performed on receipt
//! of a PDU").

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{House, HouseError, surprise};
use crate::{
    network::KeysWanted,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        answer::RoomGate,
        receive::{
            CheckedPdu, Fate, Fates, Receive, ReceivedEvent, Role, StateReset,
            check::{RawPdu, in_graph_order, with_own_keys},
        },
    },
};

/// So many rooms of one transaction are worked on at a time.
const ROOMS_AT_ONCE: usize = 8;

/// So often what is missing is asked for before an event is given up.
const ROUNDS_MAX: usize = 8;

/// So many predecessors whose state must be asked for are looked after in one go.
pub(super) const GAPS_MAX: usize = 5;

/// What became of an event of a transaction: nothing, or why it is not part of the room.
pub type PduOutcome = Result<(), String>;

#[derive(Deserialize)]
struct Envelope {
    room_id: Option<OwnedRoomId>,
}

/// A room and the server that brings events of it.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) origin: &'a ServerName,
    pub(super) room_id: &'a RoomId,
    pub(super) gate: &'a RoomGate,
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

    /// The state resets that a room has noticed of late, oldest first: keys of its state that changed although nothing that had come ruled so.
    pub async fn state_resets(&self, room_id: &RoomId) -> Result<Vec<StateReset>, HouseError> {
        match self.room_query(room_id, RoomQuery::StateResets).await? {
            RoomAnswer::StateResets(resets) => Ok(resets),
            _ => Err(surprise("StateResets")),
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
            // Nobody must send, or answer, in the order of the graph.
            events = in_graph_order(events, |event| &event.pdu);
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
        // Who has not told twice what authorises an event does not know.
        if !auth_missing.is_empty() && round < ROUNDS_MAX / 2 {
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

    /// Has the room take in a list.
    pub(super) async fn receive(
        &self,
        room_id: &RoomId,
        version: Option<ruma::RoomVersionId>,
        events: Vec<ReceivedEvent>,
    ) -> Result<Fates, HouseError> {
        let is_past = false;
        self.receive_wish(room_id, version, Receive { events, is_past })
            .await
    }

    /// Has the room take in a stretch of its past.
    pub(super) async fn receive_past(
        &self,
        room_id: &RoomId,
        events: Vec<ReceivedEvent>,
    ) -> Result<Fates, HouseError> {
        let is_past = true;
        self.receive_wish(room_id, None, Receive { events, is_past })
            .await
    }

    async fn receive_wish(
        &self,
        room_id: &RoomId,
        version: Option<ruma::RoomVersionId>,
        wish: Receive,
    ) -> Result<Fates, HouseError> {
        let wish = Box::new(wish);
        match self
            .room_query(room_id, RoomQuery::Receive { version, wish })
            .await?
        {
            RoomAnswer::Received(fates) => Ok(fates),
            _ => Err(surprise("Receive")),
        }
    }

    pub(super) async fn checked(
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
        let mut seen = BTreeSet::new();
        for pdu in pdus {
            let Ok(pdu) = RawPdu::read(pdu.get(), &rules) else {
                continue;
            };
            // Checking costs more than sending: what stands there twice is checked once.
            if !seen.insert(pdu.event_id.clone()) {
                continue;
            }
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

pub(super) fn next(pdu: CheckedPdu) -> ReceivedEvent {
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
