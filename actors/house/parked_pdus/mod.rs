//! Events that cannot be taken in yet: they wait in their room's log, and are tried again when what they lack has come.

mod tries;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Sequence},
    record::{codec::Record as _, room::RoomRecord},
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, ServerName};
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use self::tries::Tries;
use super::{
    House, HouseError,
    receive::{Scene, brought},
    surprise,
};
use crate::{
    admins::AdminError,
    room::{
        RoomAnswer, RoomCommand, RoomError, RoomQuery,
        parked::{LackingPdu, ParkPdus, ParkedPdu, due},
        receive::{CheckedPdu, Fate, Fates, Flaw},
    },
    user::UserError,
};

/// So often it is looked whether what has been taken in lets others be taken in.
const ROUNDS_MAX: usize = 4;

/// So often a room's turn begins anew because something may have become due meanwhile; the rest waits for the next transaction.
const TURN_LOOKS_MAX: usize = 3;

/// In so many rooms what has waited is taken in at a time.
const ROOMS_AT_ONCE: usize = 16;

/// So long it is tried to take in what one server has brought into a room. It is asked for what that lacks, and must not keep what others brought waiting.
const WITHIN: Duration = Duration::from_secs(300);

/// The rooms in which what has waited is being taken in: each has one turn, and so takes one place.
pub(super) struct ParkedTurns {
    under_way: Arc<Mutex<UnderWay>>,
    places: Arc<Semaphore>,
    tries: Mutex<Tries>,
}

/// What is tried of what waits in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    /// What is due.
    Due,
    /// All of it, since somebody wants it so.
    All,
}

/// By room, what it must be looked for once more: something may have become due since it was looked, for one.
type UnderWay = BTreeMap<OwnedRoomId, Option<Look>>;

impl Default for ParkedTurns {
    fn default() -> Self {
        Self {
            under_way: Arc::default(),
            places: Arc::new(Semaphore::new(ROOMS_AT_ONCE)),
            tries: Mutex::default(),
        }
    }
}

impl ParkedTurns {
    /// Begins a room's turn; if it has one, that looks once more.
    fn begin(&self, room_id: &RoomId, look: Look) -> Option<ParkedTurn> {
        let mut under_way = self.under_way.lock();
        if let Some(again) = under_way.get_mut(room_id) {
            *again = (*again).max(Some(look));
            return None;
        }
        under_way.insert(room_id.to_owned(), None);
        Some(ParkedTurn {
            room_id: room_id.to_owned(),
            look,
            under_way: self.under_way.clone(),
            is_over: false,
        })
    }
}

/// What has waited in a room is being taken in. Ends when it is dropped.
struct ParkedTurn {
    room_id: OwnedRoomId,
    look: Look,
    under_way: Arc<Mutex<UnderWay>>,
    is_over: bool,
}

impl ParkedTurn {
    /// Whether something may have become due since it was looked. The turn is over if not: whoever comes next begins another.
    fn goes_on(&mut self) -> bool {
        let mut under_way = self.under_way.lock();
        let again = under_way.get_mut(&self.room_id).and_then(Option::take);
        if let Some(look) = again {
            self.look = look;
        } else {
            under_way.remove(&self.room_id);
            self.is_over = true;
        }
        again.is_some()
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

    /// Tries again, aside, all that waits in a room, whatever it lacks and whenever it was tried. Answers what that is.
    pub async fn retry_parked_pdus(&self, room_id: &RoomId) -> Result<Vec<ParkedPdu>, HouseError> {
        let parked = self.parked_pdus(room_id).await?;
        let turns = self.parked_turns();
        turns.tries.lock().forget(room_id);
        if !parked.is_empty()
            && let Some(turn) = turns.begin(room_id, Look::All)
        {
            let turn = (turn, turns.places.clone());
            self.runtime
                .spawn(receive_in_place(self.myself.clone(), turn));
        }
        Ok(parked)
    }

    /// Gives up an event that waits in a room; its server does not bring it again. Refused with `Unknown` when it does not wait there.
    pub async fn discard_parked_pdu(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<ParkedPdu, HouseError> {
        let mut parked = self.parked_pdus(room_id).await?.into_iter();
        let found = parked.find(|one| one.event_id == *event_id);
        let unknown = || AdminError::Unknown("this event does not wait in the room".to_owned());
        let found = found.ok_or_else(unknown)?;
        let command = RoomCommand::ReleasePdus(vec![found.event_id.clone()]);
        self.room_command(room_id, command).await?;
        Ok(found)
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
        if self.to_be_tried(room_id, Look::Due).await?.is_empty() {
            return Ok(());
        }
        let turns = self.parked_turns();
        let Some(turn) = turns.begin(room_id, Look::Due) else {
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
        let mut looks = 0;
        // Administrators have their look, however often others had theirs.
        while looks < TURN_LOOKS_MAX || turn.look == Look::All {
            looks += 1;
            if let Err(error) = self.receive_parked(&turn.room_id, turn.look).await {
                tracing::info!(room_id = %turn.room_id, %error, "what has waited is not taken in");
                return;
            }
            if !turn.goes_on() {
                return;
            }
        }
    }

    /// Takes in what waits in a room and is due; at first also the rest if that is wanted.
    async fn receive_parked(&self, room_id: &RoomId, mut look: Look) -> Result<(), HouseError> {
        for _ in 0..ROUNDS_MAX {
            let parked = self.to_be_tried(room_id, look).await?;
            look = Look::Due;
            if parked.is_empty() {
                break;
            }
            let in_turn = self.parked_turns().tries.lock().in_turn(room_id, parked);
            for (origin, parked) in in_turn {
                self.try_parked_of((room_id, &origin), parked).await?;
            }
        }
        Ok(())
    }

    async fn to_be_tried(
        &self,
        room_id: &RoomId,
        look: Look,
    ) -> Result<Vec<ParkedPdu>, HouseError> {
        let gate = self.room_gate(room_id, self.env.server_name()).await?;
        if !gate.parks {
            return Ok(Vec::new());
        }
        let parked = self.parked_pdus(room_id).await?;
        if look == Look::All {
            return Ok(parked);
        }
        let tries = self.parked_turns().tries.lock();
        let ready = tries.ready(room_id, parked, Instant::now());
        Ok(due(ready, gate.partial.is_some()))
    }

    /// Tries again what a server has brought, within a time. What came to nothing is put off, and does not end the turn of others; trouble of our own does.
    async fn try_parked_of(
        &self,
        (room_id, origin): (&RoomId, &ServerName),
        parked: Vec<ParkedPdu>,
    ) -> Result<(), HouseError> {
        let tries = &self.parked_turns().tries;
        tries.lock().begin((room_id, origin), Instant::now());
        let all: Vec<_> = parked.iter().map(|one| one.event_id.clone()).collect();
        let tried = self.receive_parked_of((room_id, origin), parked);
        let vain = match timeout(WITHIN, tried).await {
            Ok(Ok(keyless)) => keyless,
            Ok(Err(error)) if is_our_own(&error) => return Err(error),
            Ok(Err(error)) => {
                tracing::info!(%room_id, %origin, %error, "what a server brought is not taken in");
                all
            }
            Err(_) => {
                tracing::info!(%room_id, %origin, "what a server brought is not taken in within the time for it");
                all
            }
        };
        tries.lock().put_off(room_id, vain, Instant::now());
        Ok(())
    }

    /// Tries again what a server has brought. What can be judged now waits no more, whatever the judgement. Answers what cannot: nobody tells the keys now.
    async fn receive_parked_of(
        &self,
        (room_id, origin): (&RoomId, &ServerName),
        parked: Vec<ParkedPdu>,
    ) -> Result<Vec<OwnedEventId>, HouseError> {
        let gate = self.room_gate(room_id, origin).await?;
        let mut open: BTreeSet<OwnedEventId> = BTreeSet::new();
        let mut keyless = Vec::new();
        if gate.admits && gate.inhabited {
            let scene = Scene {
                origin,
                room_id,
                gate: &gate,
            };
            let sequences: Vec<_> = parked.iter().map(|parked| parked.sequence).collect();
            let pdus = self.parked_json(room_id, &sequences).await?;
            let checked = self.checked_again(scene, &pdus).await?;
            keyless = checked.1;
            let texts = texts(&checked.0);
            let fates = self.take_in(scene, checked.0).await?;
            self.park_open(scene, (&texts, &fates)).await?;
            let wanting = fates.into_iter();
            let wanting = wanting.filter(|(_, fate)| matches!(fate, Fate::Wanting { .. }));
            open.extend(wanting.map(|(event_id, _)| event_id));
            open.extend(keyless.iter().cloned());
        }
        let settled = parked.into_iter().map(|parked| parked.event_id);
        let settled: Vec<_> = settled.filter(|id| !open.contains(id)).collect();
        if !settled.is_empty() {
            let command = RoomCommand::ReleasePdus(settled);
            self.room_command(room_id, command).await?;
        }
        Ok(keyless)
    }

    /// Checks what was good when it came: what is good still, and what cannot be checked, as nobody tells the keys now.
    async fn checked_again(
        &self,
        scene: Scene<'_>,
        pdus: &[Box<RawValue>],
    ) -> Result<(Vec<CheckedPdu>, Vec<OwnedEventId>), HouseError> {
        let room = (scene.room_id, &scene.gate.version);
        let (good, flaws) = self.checked_as(room, pdus, |pdu| pdu).await?;
        let keyless = flaws.into_iter();
        let keyless = keyless.filter(|(_, flaw)| matches!(flaw, Flaw::Keyless(_)));
        let keyless = keyless.map(|(event_id, _)| event_id).collect();
        Ok((brought(good, scene.origin), keyless))
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
        let turn = turns.begin(&room_id, Look::Due)?;
        Some((turn, turns.places.clone()))
    });
    if let Some(begun) = begun {
        receive_in_place(house, begun).await;
    }
}

/// Has a room's turn as soon as there is a place for it.
async fn receive_in_place(house: Weak<House>, (turn, places): (ParkedTurn, Arc<Semaphore>)) {
    // Nothing closes the semaphore.
    let place = places.acquire_owned().await;
    if let Some(house) = house.upgrade() {
        house.receive_in_turn(turn).await;
    }
    drop(place);
}

/// Whether an error is of what all that waits here depends on, whoever has brought it: nothing else can be tried.
fn is_our_own(error: &HouseError) -> bool {
    match error {
        HouseError::Store(_) | HouseError::User(UserError::Unavailable(_)) => true,
        HouseError::Room(error) => matches!(
            error,
            RoomError::Store(_)
                | RoomError::Unavailable(_)
                | RoomError::Moved
                | RoomError::UnknownRoom
        ),
        _ => false,
    }
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
        let mut turn = turns.begin(room, Look::Due).unwrap();
        for look in [Look::All, Look::Due] {
            assert!(turns.begin(room, look).is_none());
        }
        let others = turns.begin(other, Look::Due).unwrap();
        assert!(turn.goes_on(), "it was wanted again");
        assert_eq!(turn.look, Look::All);
        assert!(turns.begin(room, Look::Due).is_none());
        assert!(turn.goes_on(), "and again");
        assert_eq!(turn.look, Look::Due);
        assert!(!turn.goes_on());
        // It is over: the next one is not ended by it.
        let next = turns.begin(room, Look::Due).unwrap();
        drop(turn);
        assert!(turns.begin(room, Look::Due).is_none());
        drop((next, others));
        assert!(turns.begin(room, Look::Due).is_some());
        assert!(turns.under_way.lock().is_empty());
    }
}
