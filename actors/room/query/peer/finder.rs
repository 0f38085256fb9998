//! Finding events by their IDs, many at a time.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::try_join_all;
use playhouse_schema::record::room::{Placement, Verdict};
use ruma::{EventId, OwnedEventId};

use super::super::{
    super::{error::RoomError, event::RoomEvent, state::Room},
    history::History,
};

/// So many events are looked up at once.
const AT_ONCE: usize = 16;

/// So many records before a found event are read with it: its predecessors mostly are among them.
const PAGE_RECORDS: u64 = 64;

/// Events that were found, by their IDs.
pub(super) struct Finder {
    found: BTreeMap<OwnedEventId, Arc<RoomEvent>>,
}

/// Whether other servers may hear of an event at all: what was rejected is as if it were not there.
pub(super) fn is_told(event: &RoomEvent) -> bool {
    !matches!(event.verdict, Verdict::Rejected(_))
}

impl Finder {
    /// Knows the newest events.
    pub(super) fn new(room: &Room) -> Self {
        Self {
            found: index(room.recent.iter()),
        }
    }

    /// Knows the state in force, too.
    pub(super) fn with_state(room: &Room) -> Self {
        let state = room.current.values().chain(room.loose.values());
        Self {
            found: index(state.chain(room.recent.iter())),
        }
    }

    /// An event; reads ahead towards its predecessors.
    pub(super) async fn one(
        &mut self,
        history: &mut History,
        event_id: &EventId,
    ) -> Result<Option<Arc<RoomEvent>>, RoomError> {
        if let Some(event) = self.found.get(event_id) {
            return Ok(Some(event.clone()));
        }
        let Some(event) = history.look_up(event_id).await? else {
            return Ok(None);
        };
        self.keep(event.clone());
        if event.placement == Placement::Live {
            let low = event.sequence.saturating_sub(PAGE_RECORDS).max(1);
            let page: Vec<_> = (low..event.sequence).collect();
            history.load(&page).await?;
            for sequence in page {
                if let Some(event) = history.held(sequence) {
                    self.keep(event.clone());
                }
            }
        }
        Ok(Some(event))
    }

    /// Those of some events that are here.
    pub(super) async fn many(
        &mut self,
        history: &History,
        event_ids: &[OwnedEventId],
    ) -> Result<Vec<Arc<RoomEvent>>, RoomError> {
        let missing: Vec<_> = event_ids
            .iter()
            .filter(|event_id| !self.found.contains_key(*event_id))
            .collect();
        for some in missing.chunks(AT_ONCE) {
            let lookups = some.iter().map(|event_id| history.look_up(event_id));
            for event in try_join_all(lookups).await?.into_iter().flatten() {
                self.keep(event);
            }
        }
        let found = event_ids
            .iter()
            .filter_map(|event_id| self.found.get(event_id).cloned());
        Ok(found.collect())
    }

    fn keep(&mut self, event: Arc<RoomEvent>) {
        self.found.insert(event.pdu.event_id.clone(), event);
    }
}

fn index<'a>(
    events: impl Iterator<Item = &'a Arc<RoomEvent>>,
) -> BTreeMap<OwnedEventId, Arc<RoomEvent>> {
    events
        .map(|event| (event.pdu.event_id.clone(), event.clone()))
        .collect()
}
