//! Reading a room's past: what is held in memory first, then the log.

use std::{collections::BTreeMap, sync::Arc};

use playhouse_schema::{
    address::{Entity, Family, Position, Sequence},
    port::{EntityRange, LogStore, ModelStore, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, StateChange, StateId},
    },
};
use ruma::EventId;

use super::super::{
    context::Folded, error::RoomError, event::RoomEvent, gaps::Closed, message::TimelinePoint,
    retention, state::Room,
};

/// How many records one read of the log brings.
pub(super) const PAGE_RECORDS: usize = 128;

/// How many events and state links one request keeps at hand.
const CACHE_MAX: usize = 8_192;

/// One step of the chain of states: what changed, and which state it changed.
#[derive(Clone, Debug)]
pub(in crate::room) struct StateLink {
    /// The state before.
    pub(in crate::room) base: StateId,
    /// What changed.
    pub(in crate::room) changes: Vec<StateChange>,
}

/// Where a room's past is kept.
pub(in crate::room) struct Archive {
    /// The log.
    pub(in crate::room) store: Arc<dyn LogStore>,
    /// How far the read models have taken it in.
    pub(in crate::room) models: Arc<dyn Folded>,
}

/// The past of a room as one request sees it: it does not move while the request works.
pub(in crate::room) struct History {
    /// The room.
    pub(in crate::room) room: Arc<Room>,
    /// The newest record that the request may see.
    pub(in crate::room) last: Sequence,
    /// Events sent before this time have expired; 0 when none does.
    pub(in crate::room) expired_before_ms: u64,
    /// The time, where something is told to somebody.
    pub(super) now_ms: Option<u64>,
    pub(super) entity: Entity,
    pub(super) store: Arc<dyn LogStore>,
    positions: Arc<dyn Folded>,
    events: BTreeMap<Sequence, Arc<RoomEvent>>,
    links: BTreeMap<StateId, StateLink>,
}

impl History {
    /// The past of a room up to its record `last`.
    pub(in crate::room) fn new(room: Arc<Room>, last: Sequence, archive: Archive) -> Self {
        Self {
            entity: Entity::room(room.room_id.as_str()),
            room,
            last,
            store: archive.store,
            positions: archive.models,
            expired_before_ms: 0,
            now_ms: None,
            events: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }

    /// Where the read models are.
    pub(in crate::room) fn models(&self) -> Arc<dyn ModelStore> {
        self.store.models()
    }

    /// Whether an event may be shown at all: one that has expired may not, though it may still wait to be taken out of the log.
    pub(in crate::room) fn may_be_shown(&self, event: &RoomEvent) -> bool {
        let before_ms = self.expired_before_ms;
        let has_expired = before_ms > 0
            && retention::has_expired(event, retention::newest(&self.room), before_ms);
        !has_expired && !retention::is_emptied(event)
    }

    /// Whether an event sticks to the room now: then everybody who is in the room may see it (MSC4354).
    pub(super) fn is_sticky(&self, event: &RoomEvent) -> bool {
        let ttl_ms = self.now_ms.and_then(|now_ms| event.sticky_ttl_ms(now_ms));
        ttl_ms.is_some() && event.placement != Placement::Outlier
    }

    /// How far a read model has come in this room: it contains everything up to this record, and perhaps more.
    pub(in crate::room) async fn folded(&self, model: &'static str) -> Result<Sequence, RoomError> {
        let shard = self.store.layout().shard_of(&self.entity);
        let position = self.positions.folded(model, shard);
        self.resolve(TimelinePoint::Position(position)).await
    }

    /// The lowest sequence from which the recent window holds every timeline event.
    pub(in crate::room) fn window_start(&self) -> Sequence {
        match self.room.recent.front() {
            // Nothing of a room precedes its first record.
            Some(first) if first.sequence <= 1 => 0,
            Some(first) => first.sequence,
            None => self.last + 1,
        }
    }

    /// A timeline event of the recent window.
    pub(in crate::room) fn in_window(&self, sequence: Sequence) -> Option<&Arc<RoomEvent>> {
        let recent = &self.room.recent;
        let index = recent.partition_point(|event| event.sequence < sequence);
        recent.get(index).filter(|event| event.sequence == sequence)
    }

    /// An event that is at hand.
    pub(in crate::room) fn held(&self, sequence: Sequence) -> Option<&Arc<RoomEvent>> {
        self.in_window(sequence)
            .or_else(|| self.events.get(&sequence))
    }

    /// An event by its sequence; `None` when that record is no event.
    pub(in crate::room) async fn event(
        &mut self,
        sequence: Sequence,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        self.load(&[sequence]).await?;
        Ok(self.held(sequence).cloned())
    }

    /// Brings some events to hand in one read.
    pub(in crate::room) async fn load(&mut self, sequences: &[Sequence]) -> Result<(), RoomError> {
        let mut missing: Vec<_> = sequences
            .iter()
            .copied()
            .filter(|sequence| self.held(*sequence).is_none())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        for stored in self.store.read_some(&self.entity, &missing).await? {
            if let Some(event) = RoomEvent::from_stored(&stored)? {
                self.keep(event);
            }
        }
        Ok(())
    }

    fn keep(&mut self, event: Arc<RoomEvent>) {
        if self.events.len() >= CACHE_MAX {
            self.events.clear();
        }
        self.events.insert(event.sequence, event);
    }

    /// An event by its ID.
    pub(in crate::room) async fn find(
        &mut self,
        event_id: &EventId,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let recent = self.room.recent.iter().rev();
        if let Some(event) = recent
            .chain(self.room.current.values())
            .find(|event| event.pdu.event_id == event_id)
        {
            return Ok(Some(event.clone()));
        }
        self.look_up(event_id).await
    }

    /// An event by its ID, out of the log.
    pub(in crate::room) async fn look_up(
        &self,
        event_id: &EventId,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        // Of a room without records, into which somebody comes with thousands of events, none need be looked for.
        if self.last == 0 {
            return Ok(None);
        }
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        stored.map_or(Ok(None), |stored| self.seen(&stored))
    }

    /// Those of some events that the log holds, by their IDs, in no order.
    pub(in crate::room) async fn look_up_some(
        &self,
        event_ids: Vec<String>,
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        if self.last == 0 {
            return Ok(Vec::new());
        }
        let stored = self.store.find_some(Family::Rooms, event_ids).await?;
        let seen = stored.iter().map(|stored| self.seen(stored));
        seen.filter_map(Result::transpose).collect()
    }

    /// A record as an event of this room, if it is one that this request may see.
    fn seen(&self, stored: &StoredRecord) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        let may_be_seen = stored.entity == self.entity && stored.sequence <= self.last;
        Ok(match may_be_seen {
            true => RoomEvent::from_stored(stored)?,
            false => None,
        })
    }

    /// The step of the chain of states that made a state; `None` for the empty state.
    pub(in crate::room) async fn state_link(
        &mut self,
        id: StateId,
    ) -> Result<Option<StateLink>, RoomError> {
        if id == 0 {
            return Ok(None);
        }
        // What was missing in the first of the states with gaps stands in the record that brought it, as if that came between.
        if let Some(at) = self.room.gaps.closed_at(id) {
            return Ok(Some(StateLink {
                base: at,
                changes: Vec::new(),
            }));
        }
        if let Some(event) = self.in_window(id)
            && let Some(link) = link_of_event(event)
        {
            return Ok(Some(link));
        }
        if !self.links.contains_key(&id) {
            match self.room.gaps.closed_by(id) {
                Some(closed) => self.load_closed(closed).await?,
                None => self.load_links(id).await?,
            }
        }
        self.links
            .get(&id)
            .cloned()
            .map(Some)
            .ok_or_else(|| RoomError::Broken(format!("{}: no state {id}", self.entity)))
    }

    /// Reads how a first state with gaps differs from what was before it now that they are closed.
    async fn load_closed(&mut self, closed: Closed) -> Result<(), RoomError> {
        let (mut changes, mut base) = (self.filled_in(closed).await?, None);
        for stored in self.store.read_some(&self.entity, &[closed.first]).await? {
            if let Some(RoomRecord::StateSet(set)) = RoomRecord::decode(&stored)? {
                base = Some(set.base);
                changes.extend(set.changes);
            }
        }
        let broken = || RoomError::Broken(format!("{}: no state {}", self.entity, closed.first));
        let base = base.ok_or_else(broken)?;
        self.links.insert(closed.at, StateLink { base, changes });
        Ok(())
    }

    /// What was put into the gaps of a state.
    pub(super) async fn filled_in(&self, closed: Closed) -> Result<Vec<StateChange>, RoomError> {
        for stored in self.store.read_some(&self.entity, &[closed.at]).await? {
            if let Some(RoomRecord::StateCompleted(completed)) = RoomRecord::decode(&stored)? {
                let mut changes = completed.changes;
                changes.extend(completed.replaced);
                return Ok(changes);
            }
        }
        Err(RoomError::Broken(format!("{}: gap", self.entity)))
    }

    /// Reads the links at and shortly before a state: a walk goes on there.
    async fn load_links(&mut self, id: StateId) -> Result<(), RoomError> {
        if self.links.len() >= CACHE_MAX {
            self.links.clear();
        }
        let range = EntityRange {
            from: 1,
            to: id,
            backwards: true,
            limit: PAGE_RECORDS,
        };
        for stored in self.store.read_entity(&self.entity, range).await? {
            match RoomRecord::decode(&stored)? {
                Some(RoomRecord::StateSet(set)) => {
                    let link = StateLink {
                        base: set.base,
                        changes: set.changes,
                    };
                    self.links.insert(stored.sequence, link);
                }
                Some(RoomRecord::Event(_)) => {
                    if let Some(event) = RoomEvent::from_stored(&stored)? {
                        if let Some(link) = link_of_event(&event) {
                            self.links.insert(stored.sequence, link);
                        }
                        self.keep(event);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The state that was in force just after a record of a room whose states have branched.
    pub(in crate::room) async fn state_in_force(
        &mut self,
        sequence: Sequence,
    ) -> Result<StateId, RoomError> {
        if sequence >= self.room.current_id {
            return Ok(self.room.current_id);
        }
        let mut to = sequence;
        while to > 0 {
            let range = EntityRange {
                from: 1,
                to,
                backwards: true,
                limit: PAGE_RECORDS,
            };
            let page = self.store.read_entity(&self.entity, range).await?;
            for stored in &page {
                let in_force = match RoomRecord::decode(stored)? {
                    Some(RoomRecord::StateSet(set)) => set.current,
                    Some(RoomRecord::Event(_)) => RoomEvent::from_stored(stored)?
                        .is_some_and(|event| event.pdu.is_state() && is_in_timeline(&event)),
                    _ => false,
                };
                if in_force {
                    return Ok(stored.sequence);
                }
            }
            to = page.last().map_or(0, |stored| stored.sequence - 1);
        }
        Ok(0)
    }

    /// The sequence behind a point: of a record at or before it, such that no event stands between the two, nor what closed gaps.
    pub(in crate::room) async fn resolve(
        &self,
        point: TimelinePoint,
    ) -> Result<Sequence, RoomError> {
        let position = match point {
            TimelinePoint::Sequence(sequence) => return Ok(sequence.min(self.last)),
            TimelinePoint::Position(position) => position,
            TimelinePoint::Past(_) => return Ok(0),
        };
        // What was not known becomes known without an event.
        let closed = self.room.gaps.closed_until(position).unwrap_or_default();
        let recent = &self.room.recent;
        let index = recent.partition_point(|event| event.position() <= position);
        if index > 0 {
            return Ok(recent[index - 1].sequence.max(closed).min(self.last));
        }
        if position == 0 || self.window_start() == 0 {
            return Ok(0);
        }
        self.search(position).await
    }

    /// Looks in the log for the newest record at or before a position: in growing steps from the window back, then by halving.
    async fn search(&self, position: Position) -> Result<Sequence, RoomError> {
        // The record `above` lies after the position, the record `below` does not.
        let (mut below, mut above, mut step) = (0, self.window_start(), PAGE_RECORDS as u64);
        while below + 1 < above {
            let probe = if step > 0 && above > below + step {
                above - step
            } else {
                below + (above - below) / 2
            };
            let probe = probe.max(below + 1);
            match self.position_of(probe).await? {
                Some(found) if found <= position => {
                    below = probe;
                    step = 0;
                }
                Some(_) => {
                    above = probe;
                    step *= 4;
                }
                None => return Err(RoomError::Broken(format!("{}: gap", self.entity))),
            }
        }
        Ok(below)
    }

    async fn position_of(&self, sequence: Sequence) -> Result<Option<Position>, RoomError> {
        let found = self.store.read_some(&self.entity, &[sequence]).await?;
        Ok(found.first().map(|stored| stored.position))
    }
}

/// Whether an event belongs to the timeline that `/sync` and paging show. Backfilled events have sequences out of their order: they do not.
pub(in crate::room) fn is_in_timeline(event: &RoomEvent) -> bool {
    event.is_visible() && event.placement == Placement::Live
}

fn link_of_event(event: &RoomEvent) -> Option<StateLink> {
    let state_key = event.pdu.state_key.clone()?;
    Some(StateLink {
        base: event.before,
        changes: vec![StateChange {
            event_type: event.pdu.event_type.to_string(),
            state_key,
            event: Some(event.sequence),
        }],
    })
}
