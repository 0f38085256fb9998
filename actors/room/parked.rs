//! Events of other servers that cannot be taken in yet: what they rest on is not known, and nobody could tell it, or the members of the room are still being
//! fetched. Their server does not bring them again, and so they wait in the log.
//!
//! Here is only which they are and what they lack: a fold of the records. Nothing of them counts before they are taken in, which makes them events like all
//! others; then, or when they are given up, what stands in the log of them is replaced.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use playhouse_schema::{
    address::Sequence,
    record::{
        codec::Record as _,
        room::{Gone, PduParked, PdusReleased, Placement, RoomRecord},
    },
};
use ruma::{EventId, OwnedEventId, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use super::{Room, RoomError, RoomReply, event::RoomEvent};
use crate::kernel::Decision;

/// So many wait in a room. Beyond that the server of which most wait has its oldest one given up: whoever floods a room pushes out only what is their own.
const PARKED_MAX: usize = 100;

/// Who has waited for so long is given up when others come: thirty days.
const WAIT_MAX_MS: u64 = 30 * 24 * 3_600_000;

/// Of so many events is remembered that an event lacks them: more than it may name.
const LACKS_MAX: usize = 50;

/// What one takes in memory, bytes, roughly.
const PARKED_BYTES: usize = 500;

/// What an event that is lacked takes in memory, bytes, roughly: its ID stands here and with who lacks it.
const LACKED_BYTES: usize = 200;

/// Those that are being parked are the youngest.
const YOUNGEST: Sequence = Sequence::MAX;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedPdu {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The server that brought it.
    pub origin: OwnedServerName,
    /// Since when, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What it lacked and what has not come since.
    pub lacks: Vec<OwnedEventId>,
    /// The members of the room were not known.
    pub for_members: bool,
    /// The record in which it stands.
    pub sequence: Sequence,
}

/// Has events of a server wait.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ParkPdus {
    /// The server that brought them.
    pub origin: OwnedServerName,
    /// The members of the room are not known.
    pub for_members: bool,
    /// The events.
    pub pdus: Vec<LackingPdu>,
}

/// An event that cannot be taken in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LackingPdu {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// Its JSON.
    pub json: Bytes,
    /// What it rests on and is not known.
    pub lacks: Vec<OwnedEventId>,
}

/// The events that wait in a room. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ParkedPdus(Arc<Waiting>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Waiting {
    pdus: BTreeMap<OwnedEventId, ParkedPdu>,
    /// What they lack, and how often: most events that are recorded are none of that.
    lacked: BTreeMap<OwnedEventId, usize>,
}

impl Waiting {
    fn insert(&mut self, parked: ParkedPdu) {
        self.remove(&parked.event_id);
        for lack in &parked.lacks {
            *self.lacked.entry(lack.clone()).or_default() += 1;
        }
        self.pdus.insert(parked.event_id.clone(), parked);
    }

    fn remove(&mut self, event_id: &EventId) -> Option<ParkedPdu> {
        let parked = self.pdus.remove(event_id)?;
        for lack in &parked.lacks {
            let Some(count) = self.lacked.get_mut(lack) else {
                continue;
            };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lacked.remove(lack);
            }
        }
        Some(parked)
    }

    /// Nobody lacks an event any more.
    fn supply(&mut self, event_id: &EventId) {
        if self.lacked.remove(event_id).is_none() {
            return;
        }
        for one in self.pdus.values_mut() {
            one.lacks.retain(|lack| lack != event_id);
        }
    }
}

impl ParkedPdus {
    /// Whether none waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.pdus.is_empty()
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<ParkedPdu> {
        self.0.pdus.values().cloned().collect()
    }

    /// Reads what a snapshot keeps of it.
    pub(crate) fn from_list(parked: Vec<ParkedPdu>) -> Self {
        let mut waiting = Waiting::default();
        for parked in parked {
            waiting.insert(parked);
        }
        Self(Arc::new(waiting))
    }

    /// The bytes it takes, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.0.pdus.len() * PARKED_BYTES + self.0.lacked.len() * LACKED_BYTES
    }

    /// One has been parked.
    pub(crate) fn put(&mut self, sequence: Sequence, record: &PduParked) {
        let ids = (
            EventId::parse(&record.event_id),
            ServerName::parse(&record.origin),
        );
        let (Ok(event_id), Ok(origin)) = ids else {
            return;
        };
        let lacks = record.lacks.iter();
        let lacks = lacks.filter_map(|event_id| EventId::parse(event_id).ok());
        let parked = ParkedPdu {
            event_id,
            origin,
            at_ms: record.at_ms,
            lacks: lacks.collect(),
            for_members: record.for_members,
            sequence,
        };
        Arc::make_mut(&mut self.0).insert(parked);
    }

    /// Some wait no more.
    pub(crate) fn release(&mut self, record: &PdusReleased) {
        let waiting = Arc::make_mut(&mut self.0);
        for event_id in &record.event_ids {
            if let Ok(event_id) = <&EventId>::try_from(event_id.as_str()) {
                waiting.remove(event_id);
            }
        }
    }

    /// An event has been recorded: it waits no more, unless it is known only as part of a state, and nobody lacks it.
    pub(crate) fn note(&mut self, event_id: &EventId, placement: Placement) {
        let waits_no_more = placement != Placement::Outlier && self.0.pdus.contains_key(event_id);
        if !waits_no_more && !self.0.lacked.contains_key(event_id) {
            return;
        }
        let waiting = Arc::make_mut(&mut self.0);
        if waits_no_more {
            waiting.remove(event_id);
        }
        waiting.supply(event_id);
    }

    /// What replaces the records of those that become events now.
    pub(super) fn erasures_for(&self, records: &[RoomRecord]) -> Vec<(Sequence, Bytes)> {
        if self.is_empty() {
            return Vec::new();
        }
        let taken = records.iter().filter_map(|record| match record {
            RoomRecord::Event(event) if event.placement != Placement::Outlier => {
                let event_id = <&EventId>::try_from(event.event_id.as_str()).ok()?;
                Some(self.0.pdus.get(event_id)?.sequence)
            }
            _ => None,
        });
        replaced(taken.collect())
    }

    /// Takes out one that has to go, if there is any: it has waited for too long, or there are too many.
    fn take_surplus(&mut self, now_ms: u64) -> Option<ParkedPdu> {
        let is_old = |parked: &&ParkedPdu| parked.at_ms.saturating_add(WAIT_MAX_MS) < now_ms;
        if let Some(old) = self.0.pdus.values().find(is_old) {
            let old = old.event_id.clone();
            return Arc::make_mut(&mut self.0).remove(&old);
        }
        if self.0.pdus.len() <= PARKED_MAX {
            return None;
        }
        let mut counts: BTreeMap<&OwnedServerName, usize> = BTreeMap::new();
        for parked in self.0.pdus.values() {
            *counts.entry(&parked.origin).or_default() += 1;
        }
        let (most, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        let of_most = self.0.pdus.values().filter(|parked| parked.origin == *most);
        let oldest = of_most.min_by_key(|parked| parked.sequence)?;
        let oldest = oldest.event_id.clone();
        Arc::make_mut(&mut self.0).remove(&oldest)
    }
}

fn replaced(sequences: BTreeSet<Sequence>) -> Vec<(Sequence, Bytes)> {
    let gone = RoomRecord::Gone(Gone {}).encode();
    let sequences = sequences.into_iter();
    sequences.map(|sequence| (sequence, gone.clone())).collect()
}

/// Judges [`super::RoomCommand::ParkPdus`].
pub(super) fn park(room: &Room, now_ms: u64, park: ParkPdus) -> Result<Decision<Room>, RoomError> {
    if !room.exists() {
        return Err(RoomError::UnknownRoom);
    }
    let mut after = room.parked.clone();
    let mut new = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for pdu in park.pdus {
        // It, or what it lacks, may have come from elsewhere since it was weighed.
        if is_in_graph(room, &pdu.event_id) {
            continue;
        }
        let mut lacks = pdu.lacks;
        lacks.retain(|lack| !is_in_graph(room, lack));
        lacks.truncate(LACKS_MAX);
        let known = room.parked.0.pdus.get(&pdu.event_id);
        if known.is_some_and(|known| known.lacks == lacks && known.for_members == park.for_members)
        {
            continue;
        }
        gone.extend(known.map(|known| known.sequence));
        let record = PduParked {
            event_id: pdu.event_id.to_string(),
            origin: park.origin.to_string(),
            at_ms: known.map_or(now_ms, |known| known.at_ms),
            lacks: lacks.iter().map(ToString::to_string).collect(),
            for_members: park.for_members,
            pdu: pdu.json.to_vec().into(),
        };
        after.put(YOUNGEST, &record);
        new.insert(pdu.event_id, record);
    }
    let mut released = Vec::new();
    while let Some(surplus) = after.take_surplus(now_ms) {
        // What has only come now is not even recorded.
        new.remove(&surplus.event_id);
        if let Some(known) = room.parked.0.pdus.get(&surplus.event_id) {
            gone.insert(known.sequence);
            released.push(surplus.event_id.to_string());
        }
    }
    let mut records = Vec::with_capacity(new.len() + 1);
    if !released.is_empty() {
        let event_ids = released;
        records.push(RoomRecord::PdusReleased(PdusReleased { event_ids }));
    }
    records.extend(new.into_values().map(RoomRecord::PduParked));
    let mut decision = Decision::new(records, RoomReply::Done);
    decision.erasures = replaced(gone);
    Ok(decision)
}

/// Whether memory has an event as part of the room's graph.
fn is_in_graph(room: &Room, event_id: &EventId) -> bool {
    let is_placed = |event: &Arc<RoomEvent>| event.placement != Placement::Outlier;
    room.end(event_id).is_some() || room.recent_event(event_id).is_some_and(is_placed)
}

/// Judges [`super::RoomCommand::ReleasePdus`].
pub(super) fn release(room: &Room, event_ids: &[OwnedEventId]) -> Decision<Room> {
    let parked = event_ids.iter().filter_map(|id| room.parked.0.pdus.get(id));
    let parked: Vec<&ParkedPdu> = parked.collect();
    if parked.is_empty() {
        return Decision::unchanged(RoomReply::Done);
    }
    let event_ids = parked.iter().map(|parked| parked.event_id.to_string());
    let record = PdusReleased {
        event_ids: event_ids.collect(),
    };
    let mut decision = Decision::new(vec![RoomRecord::PdusReleased(record)], RoomReply::Done);
    decision.erasures = replaced(parked.iter().map(|parked| parked.sequence).collect());
    decision
}

/// Those that it is worth to try again: nothing is known that they lack, but for others that are tried again with them.
pub(crate) fn due(parked: Vec<ParkedPdu>, has_gaps: bool) -> Vec<ParkedPdu> {
    let mut due: BTreeMap<OwnedEventId, ParkedPdu> = BTreeMap::new();
    let mut open = parked;
    loop {
        let is_due = |one: &ParkedPdu| {
            (one.for_members && !has_gaps) || one.lacks.iter().all(|lack| due.contains_key(lack))
        };
        let (found, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(is_due);
        if found.is_empty() {
            return due.into_values().collect();
        }
        due.extend(found.into_iter().map(|one| (one.event_id.clone(), one)));
        open = rest;
    }
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, owned_server_name, server_name};

    use super::*;
    use crate::room::{
        RoomCommand,
        message::Preset,
        testing::{Stage, message},
    };

    fn id(number: usize) -> OwnedEventId {
        EventId::parse(format!("$parked{number:03}")).unwrap()
    }

    fn pdu(number: usize, lacks: &[usize]) -> LackingPdu {
        LackingPdu {
            event_id: id(number),
            json: Bytes::from_static(b"{}"),
            lacks: lacks.iter().map(|lack| id(*lack)).collect(),
        }
    }

    fn parking(origin: &ServerName, pdus: Vec<LackingPdu>) -> RoomCommand {
        RoomCommand::ParkPdus(Box::new(ParkPdus {
            origin: origin.to_owned(),
            for_members: false,
            pdus,
        }))
    }

    fn ids(parked: &[ParkedPdu]) -> Vec<OwnedEventId> {
        parked.iter().map(|one| one.event_id.clone()).collect()
    }

    #[test]
    fn who_lacks_nothing_any_more_is_due_with_who_follows() {
        let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
        let far = server_name!("far.example");
        let pdus = vec![pdu(2, &[1]), pdu(3, &[2]), pdu(5, &[4])];
        stage.run(parking(far, pdus.clone())).unwrap();
        let written = stage.log.len();
        stage.run(parking(far, pdus)).unwrap();
        assert_eq!(stage.log.len(), written, "they wait already");
        assert!(due(stage.room.parked.list(), false).is_empty());
        stage.room.parked.note(&id(1), Placement::Live);
        let found = due(stage.room.parked.list(), false);
        assert_eq!(ids(&found), [id(2), id(3)]);
        // Known as part of a state, it waits still.
        stage.room.parked.note(&id(2), Placement::Outlier);
        stage.room.parked.note(&id(3), Placement::Live);
        assert_eq!(ids(&stage.room.parked.list()), [id(2), id(5)]);
        stage
            .run(RoomCommand::ReleasePdus(vec![id(5), id(9)]))
            .unwrap();
        assert_eq!(ids(&stage.room.parked.list()), [id(2)]);
        let again = ParkedPdus::from_list(stage.room.parked.list());
        assert_eq!(again, stage.room.parked);
    }

    #[test]
    fn what_has_come_meanwhile_is_not_lacking() {
        let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
        let said = RoomCommand::SendEvent(Box::new(message("alice", "said")));
        let RoomReply::Sent(said) = stage.run(said).unwrap() else {
            panic!("SendEvent answers Sent");
        };
        let lacking = |number: usize, lacks: Vec<OwnedEventId>| LackingPdu {
            lacks,
            ..pdu(number, &[])
        };
        let itself = LackingPdu {
            event_id: said.clone(),
            ..pdu(3, &[9])
        };
        let pdus = vec![
            lacking(1, vec![said.clone(), id(9)]),
            lacking(2, vec![said]),
            itself,
        ];
        stage
            .run(parking(server_name!("far.example"), pdus))
            .unwrap();
        let parked = stage.room.parked.list();
        assert_eq!(ids(&parked), [id(1), id(2)]);
        assert_eq!(parked[0].lacks, [id(9)]);
        assert_eq!(ids(&due(parked, false)), [id(2)]);
    }

    #[test]
    fn what_waits_for_members_is_due_when_they_are_known() {
        let waiting = ParkedPdu {
            event_id: id(1),
            origin: owned_server_name!("far.example"),
            at_ms: 1,
            lacks: vec![id(0)],
            for_members: true,
            sequence: 7,
        };
        assert!(due(vec![waiting.clone()], true).is_empty());
        assert_eq!(due(vec![waiting.clone()], false), [waiting]);
    }

    #[test]
    fn who_floods_pushes_out_what_is_their_own() {
        let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
        let (quiet, loud) = (server_name!("quiet.example"), server_name!("loud.example"));
        stage.run(parking(quiet, vec![pdu(0, &[999])])).unwrap();
        for number in 1..=PARKED_MAX + 10 {
            stage.run(parking(loud, vec![pdu(number, &[999])])).unwrap();
        }
        let left = stage.room.parked.list();
        assert_eq!(left.len(), PARKED_MAX);
        assert_eq!([&left[0].event_id, &left[1].event_id], [&id(0), &id(12)]);
    }
}
