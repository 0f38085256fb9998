//! Events that cannot be taken in yet: they wait in their room's log, and are tried again when what they lack has come.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Sequence},
    record::{codec::Record as _, room::RoomRecord},
};
use ruma::{OwnedEventId, OwnedServerName, RoomId, ServerName};
use serde_json::value::RawValue;

use super::{House, HouseError, receive::Scene, surprise};
use crate::room::{
    RoomAnswer, RoomCommand, RoomQuery,
    parked::{LackingPdu, ParkPdus, ParkedPdu, due},
    receive::{CheckedPdu, Fate, Fates},
};

/// So often it is looked whether what has been taken in lets others be taken in.
const ROUNDS_MAX: usize = 4;

impl House {
    /// The events that wait in a room until what they rest on is known.
    pub async fn parked_pdus(&self, room_id: &RoomId) -> Result<Vec<ParkedPdu>, HouseError> {
        match self.room_query(room_id, RoomQuery::ParkedPdus).await? {
            RoomAnswer::ParkedPdus(parked) => Ok(parked),
            _ => Err(surprise("ParkedPdus")),
        }
    }

    /// Has those of some events wait that could not be taken in. Durable when this answers. Whether there are any.
    pub(super) async fn park_open(
        &self,
        scene: Scene<'_>,
        (texts, fates): (&[(OwnedEventId, Bytes)], &Fates),
    ) -> Result<bool, HouseError> {
        let mut lacking = Vec::new();
        for (event_id, fate) in fates {
            let Fate::Wanting {
                prev_events,
                auth_events,
            } = fate
            else {
                continue;
            };
            let Some((_, json)) = texts.iter().find(|(known, _)| known == event_id) else {
                continue;
            };
            lacking.push(LackingPdu {
                event_id: event_id.clone(),
                json: json.clone(),
                lacks: prev_events.iter().chain(auth_events).cloned().collect(),
            });
        }
        if lacking.is_empty() {
            return Ok(false);
        }
        let park = ParkPdus {
            origin: scene.origin.to_owned(),
            for_members: scene.gate.partial.is_some(),
            pdus: lacking,
        };
        let command = RoomCommand::ParkPdus(Box::new(park));
        self.room_command(scene.room_id, command).await?;
        Ok(true)
    }

    /// Tries again, aside, what waits in a room and is due: whoever has brought what it lacked need not wait for that. Only so much goes on at a time; the rest
    /// waits for the next transaction.
    pub(super) async fn receive_due(&self, room_id: &RoomId) -> Result<(), HouseError> {
        if self.due_in(room_id).await?.is_empty() {
            return Ok(());
        }
        let Some(place) = self.place_for_parked() else {
            tracing::info!(%room_id, "too much that has waited is being taken in");
            return Ok(());
        };
        let (house, room_id) = (self.myself.clone(), room_id.to_owned());
        self.runtime.spawn(async move {
            if let Some(house) = house.upgrade()
                && let Err(error) = house.receive_parked(&room_id).await
            {
                tracing::info!(%room_id, %error, "what has waited is not taken in");
            }
            drop(place);
        });
        Ok(())
    }

    /// Takes in what waits in a room and is due.
    pub(super) async fn receive_parked(&self, room_id: &RoomId) -> Result<(), HouseError> {
        for _ in 0..ROUNDS_MAX {
            let due = self.due_in(room_id).await?;
            if due.is_empty() {
                break;
            }
            let mut by_origin: BTreeMap<OwnedServerName, Vec<ParkedPdu>> = BTreeMap::new();
            for parked in due {
                let origin = parked.origin.clone();
                by_origin.entry(origin).or_default().push(parked);
            }
            for (origin, parked) in by_origin {
                self.receive_parked_of((room_id, &origin), parked).await?;
            }
        }
        Ok(())
    }

    async fn due_in(&self, room_id: &RoomId) -> Result<Vec<ParkedPdu>, HouseError> {
        let gate = self.room_gate(room_id, self.env.server_name()).await?;
        if !gate.parks {
            return Ok(Vec::new());
        }
        let parked = self.parked_pdus(room_id).await?;
        Ok(due(parked, gate.partial.is_some()))
    }

    /// Tries again what a server has brought. What can be judged now waits no more, whatever the judgement.
    async fn receive_parked_of(
        &self,
        (room_id, origin): (&RoomId, &ServerName),
        parked: Vec<ParkedPdu>,
    ) -> Result<(), HouseError> {
        let gate = self.room_gate(room_id, origin).await?;
        let mut open: BTreeSet<OwnedEventId> = BTreeSet::new();
        if gate.admits && gate.inhabited {
            let scene = Scene {
                origin,
                room_id,
                gate: &gate,
            };
            let sequences: Vec<_> = parked.iter().map(|parked| parked.sequence).collect();
            let pdus = self.parked_json(room_id, &sequences).await?;
            let (checked, _) = self.checked(scene, &pdus).await?;
            let texts = texts(&checked);
            let fates = self.take_in(scene, checked).await?;
            self.park_open(scene, (&texts, &fates)).await?;
            let wanting = fates.into_iter();
            let wanting = wanting.filter(|(_, fate)| matches!(fate, Fate::Wanting { .. }));
            open.extend(wanting.map(|(event_id, _)| event_id));
        }
        let settled = parked.into_iter().map(|parked| parked.event_id);
        let settled: Vec<_> = settled.filter(|id| !open.contains(id)).collect();
        if !settled.is_empty() {
            let command = RoomCommand::ReleasePdus(settled);
            self.room_command(room_id, command).await?;
        }
        Ok(())
    }

    async fn parked_json(
        &self,
        room_id: &RoomId,
        sequences: &[Sequence],
    ) -> Result<Vec<Box<RawValue>>, HouseError> {
        let entity = Entity::room(room_id.as_str());
        let mut pdus = Vec::with_capacity(sequences.len());
        for stored in self.store.read_some(&entity, sequences).await? {
            // It may have been taken in meanwhile.
            let Some(RoomRecord::PduParked(parked)) = RoomRecord::decode(&stored)? else {
                continue;
            };
            if let Ok(pdu) = serde_json::from_slice(&parked.pdu) {
                pdus.push(pdu);
            }
        }
        Ok(pdus)
    }
}

/// The texts of events, by their IDs.
pub(super) fn texts(pdus: &[CheckedPdu]) -> Vec<(OwnedEventId, Bytes)> {
    let texts = pdus.iter();
    texts
        .map(|pdu| (pdu.event_id.clone(), pdu.json().clone()))
        .collect()
}
