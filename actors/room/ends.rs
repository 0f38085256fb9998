//! The ends of the event graph, and what is known to lie before them although it has not come.

use std::{collections::VecDeque, sync::Arc};

use playhouse_schema::record::room::EndsForgotten;
use ruma::{EventId, OwnedEventId};

use super::{Room, state::Extremity};

/// So many events are remembered; the oldest are forgotten first.
const OVERTAKEN_MAX: usize = 256;

/// Events that lie before the ends of the graph and were not known when these came: should they come after all, they are no ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overtaken(Arc<VecDeque<OwnedEventId>>);

impl Overtaken {
    /// Whether an event lies before an end.
    pub(crate) fn contains(&self, event_id: &EventId) -> bool {
        self.0.iter().any(|known| known == event_id)
    }

    fn note(&mut self, event_id: OwnedEventId) {
        if self.contains(&event_id) {
            return;
        }
        let events = Arc::make_mut(&mut self.0);
        events.push_back(event_id);
        if events.len() > OVERTAKEN_MAX {
            events.pop_front();
        }
    }

    /// What a snapshot keeps of it.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Reads what a snapshot keeps of it.
    pub(crate) fn from_stored(stored: &[String]) -> Self {
        let events = stored.iter().filter_map(|id| EventId::parse(id).ok());
        Self(Arc::new(events.collect()))
    }
}

impl Room {
    /// An end of the graph, by its event.
    pub(super) fn end(&self, event_id: &EventId) -> Option<&Extremity> {
        let mut ends = self.extremities.iter().map(AsRef::as_ref);
        ends.find(|end| end.event_id == *event_id)
    }

    /// Some events are no ends: neither those that are known, nor the others when they come.
    pub(super) fn forget_ends(&mut self, forgotten: &EndsForgotten) {
        for event_id in &forgotten.ends {
            let before = self.extremities.len();
            self.extremities
                .retain(|end| end.event_id.as_str() != event_id.as_str());
            if self.extremities.len() == before
                && let Ok(event_id) = EventId::parse(event_id)
            {
                self.overtaken.note(event_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_first() {
        let id = |number: usize| EventId::parse(format!("${number}:x")).unwrap();
        let mut overtaken = Overtaken::default();
        for number in 0..OVERTAKEN_MAX + 2 {
            overtaken.note(id(number));
            overtaken.note(id(number));
        }
        assert!(!overtaken.contains(&id(1)) && overtaken.contains(&id(2)));
        assert_eq!(Overtaken::from_stored(&overtaken.stored()), overtaken);
    }
}
