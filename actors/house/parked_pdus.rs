//! Events that cannot be taken in yet: they wait in their room's log, and are tried again when what they lack has come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Sequence},
    record::{codec::Record as _, room::RoomRecord},
};
use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{House, HouseError, receive::Scene, surprise};
use crate::room::{
    RoomAnswer, RoomCommand, RoomQuery,
    parked::{LackingPdu, ParkPdus, ParkedPdu, due},
    receive::{CheckedPdu, Fate, Fates},
};

/// So often it is looked whether what has been taken in lets others be taken in.
const ROUNDS_MAX: usize = 4;

/// So often a room's turn begins anew because something may have become due meanwhile; the rest waits for the next transaction.
const TURN_LOOKS_MAX: usize = 3;

/// In so many rooms what has waited is taken in at a time.
const ROOMS_AT_ONCE: usize = 16;

/// The rooms in which what has waited is being taken in: each has one turn, and so takes one place.
pub(super) struct ParkedTurns {
    under_way: Arc<Mutex<UnderWay>>,
    places: Arc<Semaphore>,
}

/// By room, whether something may have become due since it was looked.
type UnderWay = BTreeMap<OwnedRoomId, bool>;

impl Default for ParkedTurns {
    fn default() -> Self {
        Self {
            under_way: Arc::default(),
            places: Arc::new(Semaphore::new(ROOMS_AT_ONCE)),
        }
    }
}

impl ParkedTurns {
    /// Begins a room's turn; if it has one, that looks once more.
    fn begin(&self, room_id: &RoomId) -> Option<ParkedTurn> {
        let mut under_way = self.under_way.lock();
        if let Some(again) = under_way.get_mut(room_id) {
            *again = true;
            return None;
        }
        under_way.insert(room_id.to_owned(), false);
        Some(ParkedTurn {
            room_id: room_id.to_owned(),
            under_way: self.under_way.clone(),
            is_over: false,
        })
    }
}

/// What has waited in a room is being taken in. Ends when it is dropped.
struct ParkedTurn {
    room_id: OwnedRoomId,
    under_way: Arc<Mutex<UnderWay>>,
    is_over: bool,
}

impl ParkedTurn {
    /// Whether something may have become due since it was looked. The turn is over if not: whoever comes next begins another.
    fn goes_on(&mut self) -> bool {
        let mut under_way = self.under_way.lock();
        let again = under_way.get_mut(&self.room_id);
        let goes_on = again.is_some_and(std::mem::take);
        if !goes_on {
            under_way.remove(&self.room_id);
            self.is_over = true;
        }
        goes_on
    }
}

impl Drop for ParkedTurn {
    fn drop(&mut self) {
        if !self.is_over {
            self.under_way.lock().remove(&self.room_id);
        }
    }
}

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
        let turns = self.parked_turns();
        let Some(turn) = turns.begin(room_id) else {
            return Ok(());
        };
        let Ok(place) = turns.places.clone().try_acquire_owned() else {
            tracing::info!(%room_id, "too much that has waited is being taken in");
            return Ok(());
        };
        let house = self.myself.clone();
        self.runtime.spawn(async move {
            if let Some(house) = house.upgrade() {
                house.receive_in_turn(turn).await;
            }
            drop(place);
        });
        Ok(())
    }

    async fn receive_in_turn(&self, mut turn: ParkedTurn) {
        for _ in 0..TURN_LOOKS_MAX {
            if let Err(error) = self.receive_parked(&turn.room_id).await {
                tracing::info!(room_id = %turn.room_id, %error, "what has waited is not taken in");
                return;
            }
            if !turn.goes_on() {
                return;
            }
        }
    }

    /// Takes in what waits in a room and is due.
    async fn receive_parked(&self, room_id: &RoomId) -> Result<(), HouseError> {
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

/// Takes in what has waited for the members of a room, as soon as there is a place for that: nobody else may bring anything for long.
pub(super) async fn receive_after_members(house: Weak<House>, room_id: OwnedRoomId) {
    let begun = house.upgrade().and_then(|house| {
        let turns = house.parked_turns();
        let turn = turns.begin(&room_id)?;
        Some((turn, turns.places.clone()))
    });
    let Some((turn, places)) = begun else {
        return;
    };
    // Nothing closes the semaphore.
    let place = places.acquire_owned().await;
    if let Some(house) = house.upgrade() {
        house.receive_in_turn(turn).await;
    }
    drop(place);
}

/// The texts of events, by their IDs.
pub(super) fn texts(pdus: &[CheckedPdu]) -> Vec<(OwnedEventId, Bytes)> {
    let texts = pdus.iter();
    texts
        .map(|pdu| (pdu.event_id.clone(), pdu.json().clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn a_room_has_one_turn_and_looks_once_more() {
        let turns = ParkedTurns::default();
        let (room, other) = (room_id!("!room:x"), room_id!("!other:x"));
        let mut turn = turns.begin(room).unwrap();
        assert!(turns.begin(room).is_none());
        let others = turns.begin(other).unwrap();
        assert!(turn.goes_on(), "it was wanted again");
        assert!(!turn.goes_on());
        // It is over: the next one is not ended by it.
        let next = turns.begin(room).unwrap();
        drop(turn);
        assert!(turns.begin(room).is_none());
        drop((next, others));
        assert!(turns.begin(room).is_some());
        assert!(turns.under_way.lock().is_empty());
    }
}
