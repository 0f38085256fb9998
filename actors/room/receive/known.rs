//! What the room knows of the events that are weighed, and of those they name.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId};

use super::{Fates, ReceivedEvent, weigh::Weighing};
use crate::{
    kernel::give_way,
    room::{RoomError, event::RoomEvent},
};

/// After so many events others get their turn: a log that answers at once would let none have it.
const WEIGHED_IN_A_ROW: usize = 5;

/// So many events are looked up with one question.
pub(super) const LOOKED_UP_AT_ONCE: usize = 256;

/// Fewer are looked up one by one, as they are needed.
const LOOKED_UP_MIN: usize = 8;

impl Weighing {
    /// Weighs some events, one after the other.
    pub(super) async fn weigh_all(&mut self, events: &[ReceivedEvent]) -> Result<Fates, RoomError> {
        let mut fates = Fates::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            if index % LOOKED_UP_AT_ONCE == 0 {
                let rest = events.iter().skip(index);
                self.look_up(rest.map(|event| &event.pdu.event_id)).await?;
            }
            if index % WEIGHED_IN_A_ROW == WEIGHED_IN_A_ROW - 1 {
                give_way().await;
            }
            let event_id = event.pdu.event_id.clone();
            fates.push((event_id, self.weigh(event.clone()).await?));
        }
        Ok(fates)
    }

    /// An event of the room, recorded or weighed.
    pub(super) async fn find(
        &mut self,
        event_id: &EventId,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        if let Some(event) = self.at_hand_already(event_id) {
            return Ok(Some(event.clone()));
        }
        if self.unknown.contains(event_id) {
            return Ok(None);
        }
        let event = self.history.look_up(event_id).await?;
        if let Some(event) = &event {
            self.found.insert(event_id.to_owned(), event.clone());
        }
        Ok(event)
    }

    /// Brings the first of some events to hand that will be asked for, [`LOOKED_UP_AT_ONCE`] of them, with one question. Where there are so many others get
    /// their turn.
    pub(super) async fn look_up(
        &mut self,
        event_ids: impl Iterator<Item = &OwnedEventId>,
    ) -> Result<(), RoomError> {
        let first: Vec<_> = event_ids.take(LOOKED_UP_AT_ONCE).collect();
        if first.len() < LOOKED_UP_MIN {
            return Ok(());
        }
        if first.len() == LOOKED_UP_AT_ONCE {
            give_way().await;
        }
        let is_open = |id: &&OwnedEventId| self.at_hand_already(id).is_none();
        let open: Vec<_> = first.into_iter().filter(is_open).cloned().collect();
        if open.len() < LOOKED_UP_MIN {
            return Ok(());
        }
        let keys = open.iter().map(ToString::to_string).collect();
        for event in self.history.look_up_some(keys).await? {
            self.found.insert(event.pdu.event_id.clone(), event);
        }
        let is_unknown = |id: &OwnedEventId| !self.found.contains_key(id);
        let unknown: Vec<_> = open.into_iter().filter(is_unknown).collect();
        self.unknown.extend(unknown);
        Ok(())
    }

    fn at_hand_already(&self, event_id: &EventId) -> Option<&Arc<RoomEvent>> {
        let found = self.found.get(event_id);
        found.or_else(|| self.room.recent_event(event_id))
    }
}
