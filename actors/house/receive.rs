//! Events of other servers: checked, put where they belong, and what they rest on fetched (server-server API, "Transactions", "Checks performed on receipt
//! of a PDU").

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, ServerName};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{House, HouseError, parked_pdus::texts, surprise};
use crate::{
    network::KeysWanted,
    room::{
        RoomAnswer, RoomError, RoomQuery, VERSIONS,
        answer::RoomGate,
        receive::{
            CheckedPdu, Fate, Fates, Flaw, Occasion, Receive, ReceivedEvent, Role, StateReset,
            check::RawPdu, order::in_graph_order,
        },
    },
};

/// So many rooms of one transaction are worked on at a time.
const ROOMS_AT_ONCE: usize = 8;

/// So often a server is asked what lies between its events and those known here: Synapse tells 20 at a time.
pub(super) const BETWEEN_MAX: usize = 100;

/// While so many events wait for their predecessors, no more are asked for.
pub(super) const WAITING_MAX: usize = 2_000;

/// So often a server is asked what authorises its events: who has not told twice does not know.
const CHAINS_MAX: usize = 4;

/// So often gaps are bridged by the state that the server tells.
const BRIDGES_MAX: usize = 4;

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

/// How often what some events rest on was asked for.
#[derive(Default)]
pub(super) struct Asked {
    chains: usize,
    pub(super) between: usize,
    bridges: usize,
}

/// What events lack that cannot be taken in yet; what is among them is not lacking.
#[derive(Clone, Default)]
pub(super) struct Lacks {
    pub(super) listed: BTreeSet<OwnedEventId>,
    pub(super) prev_events: BTreeSet<OwnedEventId>,
    pub(super) auth_events: BTreeSet<OwnedEventId>,
    /// Who rests on one of the `prev_events`. A server tells few events for a question, and begins at each that it is asked about: asked about the others,
    /// too, it would tell what is listed, and nothing else.
    pub(super) rootless: Vec<OwnedEventId>,
    /// Who is authorised by one of the `auth_events`.
    pub(super) unauthorised: Vec<OwnedEventId>,
}

impl Lacks {
    pub(super) fn of(fates: &Fates) -> Self {
        let mut lacks = Self::default();
        let open = fates.iter().filter(|(_, fate)| is_open(fate));
        lacks
            .listed
            .extend(open.map(|(event_id, _)| event_id.clone()));
        for (event_id, fate) in fates {
            let Fate::Wanting {
                prev_events,
                auth_events,
            } = fate
            else {
                continue;
            };
            let is_lacking = |id: &&OwnedEventId| !lacks.listed.contains(*id);
            let prev_events: Vec<_> = prev_events.iter().filter(is_lacking).cloned().collect();
            let auth_events: Vec<_> = auth_events.iter().filter(is_lacking).cloned().collect();
            if !prev_events.is_empty() {
                lacks.rootless.push(event_id.clone());
            }
            if !auth_events.is_empty() {
                lacks.unauthorised.push(event_id.clone());
            }
            lacks.prev_events.extend(prev_events);
            lacks.auth_events.extend(auth_events);
        }
        lacks
    }
}

impl House {
    /// Takes in the events of a transaction: by event ID, what became of each. Events whose ID cannot be told are left out.
    ///
    /// A room in which nothing can be done until somebody repairs it takes nothing in, and its events are refused: its server would otherwise repeat the
    /// transaction for ever, and nothing that it says elsewhere would come. Of any other trouble, such as a store that does not write, the sender hears as
    /// an error of the whole: it repeats what could be taken in later, and nothing is lost. The other rooms' events are taken in before that all the same.
    ///
    /// What rests on something that nobody tells is refused, too, and so is what lies behind a gap in a room whose members are not all known, since that may
    /// last. The sender does not bring it again: it waits in the room's log, and is taken in when what it lacks has come, or the members are known.
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
        let rooms = stream::iter(by_room).map(|(room_id, pdus)| async move {
            let received = self.receive_in_room(origin, &room_id, &pdus).await;
            received.or_else(|error| refused_by_broken_room((origin, &room_id), &pdus, error))
        });
        let mut outcomes = BTreeMap::new();
        let mut trouble = None;
        let mut rooms = rooms.buffer_unordered(ROOMS_AT_ONCE);
        while let Some(received) = rooms.next().await {
            match received {
                Ok(received) => outcomes.extend(received),
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(outcomes), Err)
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
        room_id: &RoomId,
        pdus: &[Box<RawValue>],
    ) -> Result<BTreeMap<OwnedEventId, PduOutcome>, HouseError> {
        let gate = match self.gate_on_arrival(room_id, origin).await {
            Ok(gate) => gate,
            // Of a room that is not here hardly anything can be told, not even its events' IDs.
            Err(HouseError::Room(RoomError::UnknownRoom)) => {
                return self.hear_from_outside(room_id, pdus).await;
            }
            Err(error) => return Err(error),
        };
        let scene = Scene {
            origin,
            room_id,
            gate: &gate,
        };
        let mut outcomes = BTreeMap::new();
        let (checked, flawed) = self.checked(scene, pdus).await?;
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
            outcomes.extend(refused.map(|pdu| (pdu.event_id.clone(), Err(refusal.to_owned()))));
            if !gate.inhabited {
                outcomes.extend(self.hear_from_outside(room_id, pdus).await?);
            }
            return Ok(outcomes);
        }
        let texts = texts(&checked);
        let fates = self.take_in(scene, checked).await?;
        // Who has nobody in the room takes nobody's place.
        let is_parked = gate.peer_inhabits && self.park_open(scene, (&texts, &fates)).await?;
        if is_parked && gate.partial.is_some() {
            // When that ends, what waits is tried again.
            drop(self.complete_room(room_id));
        }
        let told = fates.into_iter();
        outcomes.extend(told.map(|(event_id, fate)| (event_id, outcome_of(fate))));
        if gate.parks || is_parked {
            self.receive_due(room_id).await?;
        }
        Ok(outcomes)
    }

    /// Takes in checked events with all they need.
    pub(super) async fn take_in(
        &self,
        scene: Scene<'_>,
        pdus: Vec<CheckedPdu>,
    ) -> Result<Fates, HouseError> {
        let mut events: Vec<_> = pdus.into_iter().map(next).collect();
        let wanted: BTreeSet<_> = events
            .iter()
            .map(|event| event.pdu.event_id.clone())
            .collect();
        let mut fates: BTreeMap<OwnedEventId, Fate> = BTreeMap::new();
        let mut asked = Asked::default();
        let mut is_last = false;
        loop {
            // Nobody must send, or answer, in the order of the graph.
            events = in_graph_order(events, |event| &event.pdu);
            let told = self.receive(scene.room_id, None, events.clone()).await?;
            let lacks = Lacks::of(&told);
            for (event_id, fate) in told {
                if wanted.contains(&event_id) && fates.get(&event_id).is_none_or(is_open) {
                    fates.insert(event_id, fate);
                }
            }
            events.retain(|event| lacks.listed.contains(&event.pdu.event_id));
            if events.is_empty() || is_last {
                break;
            }
            let found = self.what_is_missing(scene, &mut asked, &lacks).await?;
            // To ask takes its time: what is not told may have come from elsewhere meanwhile, and so all is weighed once more.
            is_last = found.is_empty();
            events.splice(0..0, found);
        }
        Ok(fates.into_iter().collect())
    }

    /// Fetches what some events lack.
    async fn what_is_missing(
        &self,
        scene: Scene<'_>,
        asked: &mut Asked,
        lacks: &Lacks,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let mut found = Vec::new();
        if !lacks.auth_events.is_empty() && asked.chains < CHAINS_MAX {
            asked.chains += 1;
            let chains = self.outliers(scene, &lacks.unauthorised, &lacks.auth_events);
            found.extend(chains.await?);
        }
        if lacks.prev_events.is_empty() {
            return Ok(found);
        }
        let between = self.between(scene, asked, lacks).await?;
        if between.is_empty() && asked.bridges < BRIDGES_MAX {
            asked.bridges += 1;
            // States before those with gaps are put beside them only once they have none.
            if scene.gate.partial.is_some() {
                match self.whole_gate(scene.room_id, scene.origin).await {
                    Ok(_) => {}
                    // Whoever sends it must not wait, with all that it says elsewhere, for somebody who tells the members.
                    Err(HouseError::Room(RoomError::PartialState)) => {
                        asked.bridges = BRIDGES_MAX;
                        return Ok(found);
                    }
                    Err(error) => return Err(error),
                }
            }
            for event_id in lacks.prev_events.iter().take(GAPS_MAX) {
                found.extend(self.across_gap(scene, event_id).await?);
            }
        }
        found.extend(between);
        Ok(found)
    }

    /// Has the room take in a list.
    pub(super) async fn receive(
        &self,
        room_id: &RoomId,
        version: Option<RoomVersionId>,
        events: Vec<ReceivedEvent>,
    ) -> Result<Fates, HouseError> {
        let occasion = Occasion::News;
        self.receive_wish(room_id, version, Receive { events, occasion })
            .await
    }

    /// Has the room take in a stretch of its past.
    pub(super) async fn receive_past(
        &self,
        room_id: &RoomId,
        events: Vec<ReceivedEvent>,
    ) -> Result<Fates, HouseError> {
        let occasion = Occasion::Past;
        self.receive_wish(room_id, None, Receive { events, occasion })
            .await
    }

    /// Has the room take in what there is, for whatever occasion.
    pub(super) async fn receive_wish(
        &self,
        room_id: &RoomId,
        version: Option<RoomVersionId>,
        wish: Receive,
    ) -> Result<Fates, HouseError> {
        let next = wish.events.iter();
        let next = next.filter(|event| matches!(event.role, Role::Next));
        let next: Vec<_> = next.cloned().collect();
        let wish = Box::new(wish);
        let query = RoomQuery::Receive { version, wish };
        let RoomAnswer::Received(fates) = self.room_query(room_id, query).await? else {
            return Err(surprise("Receive"));
        };
        let policy = fates.iter().find_map(|(_, fate)| match fate {
            Fate::Unrecommended(policy) => Some(policy.clone()),
            _ => None,
        });
        match policy {
            Some(policy) => {
                let asked = self.receive_recommended(room_id, (policy, next), fates);
                asked.await
            }
            None => Ok(fates),
        }
    }

    pub(super) async fn checked(
        &self,
        scene: Scene<'_>,
        pdus: &[Box<RawValue>],
    ) -> Result<(Vec<CheckedPdu>, BTreeMap<OwnedEventId, PduOutcome>), HouseError> {
        let checked = self.checked_of(scene.room_id, &scene.gate.version, pdus);
        let (good, flaws) = checked.await?;
        Ok((brought(good, scene.origin), flaws))
    }

    /// Reads and checks events: the good ones, and what is wrong with the others.
    pub(super) async fn checked_of(
        &self,
        room_id: &RoomId,
        version: &RoomVersionId,
        pdus: &[Box<RawValue>],
    ) -> Result<(Vec<CheckedPdu>, BTreeMap<OwnedEventId, PduOutcome>), HouseError> {
        let checked = self.checked_as((room_id, version), pdus, |pdu| pdu);
        let (good, flaws) = checked.await?;
        let flaws = flaws.into_iter();
        let outcomes = flaws.map(|(event_id, flaw)| (event_id, Err(flaw.to_string())));
        Ok((good, outcomes.collect()))
    }

    /// The same for a stretch of a room's past, its state and what authorises events: how many others an event may name is limited for news alone.
    pub(super) async fn checked_past(
        &self,
        scene: Scene<'_>,
        pdus: &[Box<RawValue>],
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let room = (scene.room_id, &scene.gate.version);
        let checked = self.checked_as(room, pdus, RawPdu::of_past);
        Ok(brought(checked.await?.0, scene.origin))
    }

    pub(super) async fn checked_as(
        &self,
        (room_id, version): (&RoomId, &RoomVersionId),
        pdus: &[Box<RawValue>],
        as_what: fn(RawPdu) -> RawPdu,
    ) -> Result<(Vec<CheckedPdu>, BTreeMap<OwnedEventId, Flaw>), HouseError> {
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
                Ok(()) => raw.push(as_what(pdu)),
                Err(flaw) => drop(flaws.insert(pdu.event_id, flaw)),
            }
        }
        let keys = self.batch_keys(&rules, (&*raw, wanted)).await;
        let mut good = Vec::with_capacity(raw.len());
        for pdu in raw {
            let event_id = pdu.event_id.clone();
            match pdu.check(room_id, &rules, keys.of(&event_id)) {
                Ok(pdu) => good.push(pdu),
                Err(flaw) => drop(flaws.insert(event_id, flaw)),
            }
        }
        Ok((good, flaws))
    }
}

/// Events that a server has brought.
pub(super) fn brought(checked: Vec<CheckedPdu>, by: &ServerName) -> Vec<CheckedPdu> {
    let checked = checked.into_iter();
    checked.map(|pdu| pdu.brought_by(by)).collect()
}

/// What became of a room's events where the room answers only with an error: refused, if the error is the room's own and lasts. The error of everything else,
/// see [`House::receive_pdus`].
fn refused_by_broken_room(
    (origin, room_id): (&ServerName, &RoomId),
    pdus: &[Box<RawValue>],
    error: HouseError,
) -> Result<BTreeMap<OwnedEventId, PduOutcome>, HouseError> {
    if !matches!(&error, HouseError::Room(error) if error.is_lasting()) {
        return Err(error);
    }
    metrics::counter!("playhouse_received_room_errors_total").increment(1);
    tracing::warn!(%origin, %room_id, %error, "a room cannot take in what it is sent, its events are refused");
    let ids = pdus.iter().flat_map(|pdu| ids_in_any_version(pdu));
    Ok(ids
        .map(|event_id| {
            (
                event_id,
                Err("this room cannot be worked on here".to_owned()),
            )
        })
        .collect())
}

/// The IDs that an event has in the versions of rooms that there are. A room that cannot be read does not tell its version; an answer about IDs that no event
/// has tells nobody anything.
fn ids_in_any_version(pdu: &RawValue) -> BTreeSet<OwnedEventId> {
    let rules = VERSIONS.into_iter().filter_map(|version| version.rules());
    rules
        .filter_map(|rules| RawPdu::read(pdu.get(), &rules).ok())
        .map(|pdu| pdu.event_id)
        .collect()
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
        Fate::Unrecommended(_) => Err("the room's policy server cannot be asked".to_owned()),
        Fate::Repeats(_) => Err("this event is repeated by another".to_owned()),
    }
}
