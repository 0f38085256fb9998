//! What received events rest on and is not known here: asked of the server that brought them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use playhouse_schema::record::room::Placement;
use ruma::{OwnedEventId, RoomId};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    House, HouseError,
    peers::{Patience, segment},
    receive::{Asked, BETWEEN_MAX, GAPS_MAX, Lacks, Scene, WAITING_MAX, next, outlier},
    surprise,
};
use crate::{
    network::{PeerError, PeerMethod},
    room::{
        RoomAnswer, RoomQuery,
        receive::{CheckedPdu, ReceivedEvent, Role, order::in_auth_order},
    },
};

/// So many missing events are asked for at once (`get_missing_events`).
const MISSING_MAX: usize = 50;

/// Events that were told and wait for their predecessors have at most about so many bytes.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// So many events are fetched one by one rather than with the whole state.
const SINGLE_EVENTS_MAX: usize = 50;

/// So many requests for single events are under way.
const FETCHES_AT_ONCE: usize = 8;

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

impl House {
    /// What lies between what is known here and what some events lack. A server tells few at a time, and so it is asked again about what it has told, until
    /// that rests on something known, or too much waits.
    pub(super) async fn between(
        &self,
        scene: Scene<'_>,
        asked: &mut Asked,
        lacks: &Lacks,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let mut between = Vec::new();
        let mut lacks = lacks.clone();
        let mut bytes = 0;
        let is_enough = |lacks: &Lacks, bytes| {
            lacks.prev_events.is_empty()
                || lacks.listed.len() >= WAITING_MAX
                || bytes >= WAITING_BYTES_MAX
        };
        while asked.between < BETWEEN_MAX && !is_enough(&lacks, bytes) {
            asked.between += 1;
            let told = self.missing_events(scene, &lacks.rootless).await?;
            let found = self.leading_to(scene.room_id, &lacks, told).await?;
            if found.is_empty() {
                break;
            }
            bytes += found
                .iter()
                .map(|event| event.pdu.json().len())
                .sum::<usize>();
            lacks = self.lacks_before(scene.room_id, lacks, &found).await?;
            between.extend(found);
        }
        Ok(between)
    }

    /// What is lacking still when some of what is lacking was found.
    async fn lacks_before(
        &self,
        room_id: &RoomId,
        lacks: Lacks,
        found: &[ReceivedEvent],
    ) -> Result<Lacks, HouseError> {
        let ids = found.iter().map(|event| event.pdu.event_id.clone());
        let mut listed = lacks.listed;
        listed.extend(ids);
        let before = found.iter().flat_map(|event| &event.pdu.prev_events);
        let before: BTreeSet<_> = before.filter(|id| !listed.contains(*id)).cloned().collect();
        let limit = before.len();
        let unknown = self
            .unknown_of(room_id, before.into_iter().collect(), limit)
            .await?;
        let mut prev_events: BTreeSet<_> = unknown.into_iter().collect();
        let is_rootless = |event: &&ReceivedEvent| {
            let mut prev_events_of = event.pdu.prev_events.iter();
            prev_events_of.any(|id| prev_events.contains(id))
        };
        let rootless = found.iter().filter(is_rootless);
        let mut rootless: Vec<_> = rootless.map(|event| event.pdu.event_id.clone()).collect();
        // What was asked for and not told yet may come with the next answer.
        let left = lacks.prev_events.iter().filter(|id| !listed.contains(*id));
        let left: Vec<_> = left.cloned().collect();
        if !left.is_empty() {
            rootless.extend(lacks.rootless);
        }
        prev_events.extend(left);
        Ok(Lacks {
            listed,
            prev_events,
            rootless,
            ..Lacks::default()
        })
    }

    /// What lies between what is known here and some events.
    pub(super) async fn missing_events(
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
        let mut pdus = told(scene, asked).map_or(Vec::new(), |pdus| pdus.pdus);
        pdus.truncate(MISSING_MAX);
        let (checked, _) = self.checked(scene, &pdus).await?;
        let is_asked = |pdu: &CheckedPdu| !latest.contains(&pdu.event_id);
        Ok(checked.into_iter().filter(is_asked).map(next).collect())
    }

    /// Those of some events that lie between what is lacking and what is known. A server walks on past what is known here wherever the graph has another
    /// way: what happened before this server came in is history, and no news.
    async fn leading_to(
        &self,
        room_id: &RoomId,
        lacks: &Lacks,
        told: Vec<ReceivedEvent>,
    ) -> Result<Vec<ReceivedEvent>, HouseError> {
        let ids: Vec<_> = told
            .iter()
            .map(|event| event.pdu.event_id.clone())
            .collect();
        let unknown = self.unknown_of(room_id, ids, MISSING_MAX).await?;
        let mut told: BTreeMap<_, _> = told
            .into_iter()
            .map(|event| (event.pdu.event_id.clone(), event))
            .collect();
        told.retain(|event_id, _| !lacks.listed.contains(event_id));
        let mut between = Vec::new();
        let mut wanted: Vec<_> = lacks.prev_events.iter().cloned().collect();
        while let Some(event_id) = wanted.pop() {
            let Some(event) = told.remove(&event_id) else {
                continue;
            };
            let before = event.pdu.prev_events.iter();
            wanted.extend(before.filter(|id| unknown.contains(id)).cloned());
            between.push(event);
        }
        Ok(between)
    }

    /// Authorising events that are not known, with theirs.
    pub(super) async fn outliers(
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
                self.ask_peer(scene.origin, path, Patience::CHAIN).await;
            let chain = told(scene, asked).map_or(Vec::new(), |chain| chain.auth_chain);
            found.extend(self.checked_past(scene, &chain).await?);
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
    pub(super) async fn across_gap(
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
        let Some((mut events, state)) = self.state_before(scene, event_id).await? else {
            return Ok(Vec::new());
        };
        events.push(ReceivedEvent {
            pdu,
            role: Role::Given {
                state,
                placement: Placement::Backfilled,
            },
        });
        Ok(events)
    }

    /// The state before an event as a server tells it: what of it, and of what authorises it, is not known here; and all its events' IDs.
    pub(super) async fn state_before(
        &self,
        scene: Scene<'_>,
        event_id: &OwnedEventId,
    ) -> Result<Option<(Vec<ReceivedEvent>, Vec<OwnedEventId>)>, HouseError> {
        let room = segment(scene.room_id.as_str());
        let event = segment(event_id.as_str());
        let path = format!("/_matrix/federation/v1/state_ids/{room}?event_id={event}");
        let asked: Result<StateIds, _> = self.ask_peer(scene.origin, path, Patience::IDS).await;
        let Some(ids) = told(scene, asked) else {
            return Ok(None);
        };
        let all: BTreeSet<_> = ids.auth_chain_ids.iter().chain(&ids.pdu_ids).collect();
        let all = all.into_iter().cloned().collect();
        let unknown = self
            .unknown_of(scene.room_id, all, SINGLE_EVENTS_MAX + 1)
            .await?;
        let is_large = unknown.len() > SINGLE_EVENTS_MAX;
        let fetched = if is_large {
            self.whole_state(scene, event_id).await?
        } else {
            self.single_pdus(scene, &unknown).await?
        };
        let found: BTreeSet<_> = fetched.iter().map(|pdu| &pdu.event_id).collect();
        let mut lacking: Vec<_> = if is_large { &ids.pdu_ids } else { &unknown }.clone();
        lacking.retain(|id| !found.contains(id));
        if is_large {
            lacking = self.unknown_of(scene.room_id, lacking, 1).await?;
        }
        // A state that its server tells and does not give is no state: nothing is to be looked for in vain.
        if ids.pdu_ids.iter().any(|id| lacking.contains(id)) {
            let (origin, room_id) = (scene.origin, scene.room_id);
            tracing::info!(%origin, %room_id, "a server does not give the state that it tells");
            return Ok(None);
        }
        let events = in_auth_order(fetched).into_iter().map(outlier).collect();
        Ok(Some((events, ids.pdu_ids)))
    }

    async fn whole_state(
        &self,
        scene: Scene<'_>,
        event_id: &OwnedEventId,
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let room = segment(scene.room_id.as_str());
        let event = segment(event_id.as_str());
        let path = format!("/_matrix/federation/v1/state/{room}?event_id={event}");
        let asked: Result<WholeState, _> = self.ask_peer(scene.origin, path, Patience::STATE).await;
        let Some(state) = told(scene, asked) else {
            return Ok(Vec::new());
        };
        let mut pdus = state.auth_chain;
        pdus.extend(state.pdus);
        self.checked_past(scene, &pdus).await
    }

    async fn single_pdus(
        &self,
        scene: Scene<'_>,
        event_ids: &[OwnedEventId],
    ) -> Result<Vec<CheckedPdu>, HouseError> {
        let fetches = stream::iter(event_ids.to_vec()).map(|event_id| async move {
            let event = segment(event_id.as_str());
            let path = format!("/_matrix/federation/v1/event/{event}");
            let asked: Result<Pdus, _> = self.ask_peer(scene.origin, path, Patience::EVENT).await;
            told(scene, asked).and_then(|pdus| pdus.pdus.into_iter().next())
        });
        let answers: Vec<_> = fetches.buffer_unordered(FETCHES_AT_ONCE).collect().await;
        let pdus: Vec<_> = answers.into_iter().flatten().collect();
        let checked = self.checked_past(scene, &pdus).await?;
        let is_asked = |pdu: &CheckedPdu| event_ids.contains(&pdu.event_id);
        Ok(checked.into_iter().filter(is_asked).collect())
    }

    /// Those of some events that the room has no record of, at most so many.
    pub(super) async fn unknown_of(
        &self,
        room_id: &RoomId,
        event_ids: Vec<OwnedEventId>,
        limit: usize,
    ) -> Result<Vec<OwnedEventId>, HouseError> {
        match self
            .room_query(room_id, RoomQuery::Unknown { event_ids, limit })
            .await
        {
            Ok(RoomAnswer::EventIds(unknown)) => Ok(unknown),
            Ok(_) => Err(surprise("Unknown")),
            Err(error) => Err(error.into()),
        }
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
