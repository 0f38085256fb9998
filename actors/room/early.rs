//! Redactions that came before what they redact (room version 3, "Handling redactions").
//!
//! Each is recorded as [`Verdict::Held`]: it is part of the graph, and no client is shown it. That stands in its own record rather than in the room's memory
//! alone, since what clients are shown is decided in many places, by the log and by followers that know no room, and all of them look at the verdict already.
//! When the target comes it is recorded without its content from the first, and the redaction's record becomes one of [`Verdict::Accepted`]. The redaction
//! stands where it came: who has read on beyond that learns of it by the target, in whose `unsigned` it is.
//!
//! Here is only which events are waited for: a fold of those records, so that nobody has to look in the log for each event that comes.

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;
use playhouse_schema::{address::Sequence, record::room::Verdict};
use ruma::{EventId, OwnedEventId, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

use super::{Room, event::RoomEvent, redact};

/// So many redactions of a room wait. Beyond that the server of which most wait has its oldest one given up: that stays hidden, and its target, should it come,
/// is shown as it is. Thus whoever floods a room pushes out only what is their own.
const EARLY_MAX: usize = 1_000;

/// What one takes, bytes, roughly.
const EARLY_BYTES: usize = 300;

/// The redactions that wait, by what they redact. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Early {
    by_target: OrdMap<OwnedEventId, Arc<Vec<Waiting>>>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    sequence: Sequence,
    redaction: OwnedEventId,
    server: OwnedServerName,
}

/// What a snapshot keeps of a redaction that waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredEarly {
    target: String,
    sequence: Sequence,
    redaction: String,
    server: String,
}

impl Early {
    /// The redactions that wait for an event, in the order in which they came.
    pub(crate) fn of(&self, target: &EventId) -> Vec<OwnedEventId> {
        let waiting = self.by_target.get(target);
        let waiting = waiting.into_iter().flat_map(|waiting| waiting.iter());
        waiting.map(|waiting| waiting.redaction.clone()).collect()
    }

    /// Whether redactions wait for an event that did not wait for it before.
    pub(crate) fn has_changed_for(&self, event_id: &str, before: &Self) -> bool {
        if self.count == 0 {
            return false;
        }
        let Ok(event_id) = <&EventId>::try_from(event_id) else {
            return false;
        };
        let waiting = self.by_target.get(event_id);
        waiting.is_some() && waiting != before.by_target.get(event_id)
    }

    /// The bytes it takes, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.count * EARLY_BYTES
    }

    /// What a snapshot keeps of it.
    pub(crate) fn stored(&self) -> Vec<StoredEarly> {
        let mut stored = Vec::with_capacity(self.count);
        for (target, waiting) in &self.by_target {
            stored.extend(waiting.iter().map(|waiting| StoredEarly {
                target: target.to_string(),
                sequence: waiting.sequence,
                redaction: waiting.redaction.to_string(),
                server: waiting.server.to_string(),
            }));
        }
        stored
    }

    /// Reads what a snapshot keeps of it.
    pub(crate) fn from_stored(stored: &[StoredEarly]) -> Self {
        let mut early = Self::default();
        for stored in stored {
            let ids = (
                EventId::parse(&stored.target),
                EventId::parse(&stored.redaction),
                ServerName::parse(&stored.server),
            );
            if let (Ok(target), Ok(redaction), Ok(server)) = ids {
                let waiting = Waiting {
                    sequence: stored.sequence,
                    redaction,
                    server,
                };
                early.note(target, waiting);
            }
        }
        early
    }

    fn note(&mut self, target: OwnedEventId, waiting: Waiting) {
        let mut all = self.by_target.remove(&target).unwrap_or_default();
        Arc::make_mut(&mut all).push(waiting);
        self.by_target.insert(target, all);
        self.count += 1;
        if self.count > EARLY_MAX {
            self.give_up_one();
        }
    }

    fn forget(&mut self, target: &EventId) {
        if let Some(waiting) = self.by_target.remove(target) {
            self.count -= waiting.len();
        }
    }

    fn give_up_one(&mut self) {
        let mut by_server: BTreeMap<&ServerName, (usize, Sequence, &OwnedEventId)> =
            BTreeMap::new();
        for (target, waiting) in &self.by_target {
            for waiting in waiting.iter() {
                let first = (0, Sequence::MAX, target);
                let (count, oldest, of) = by_server.entry(&waiting.server).or_insert(first);
                *count += 1;
                if waiting.sequence < *oldest {
                    (*oldest, *of) = (waiting.sequence, target);
                }
            }
        }
        let most = by_server.into_values().max_by_key(|(count, ..)| *count);
        let Some((oldest, target)) = most.map(|(_, oldest, of)| (oldest, of.clone())) else {
            return;
        };
        let Some(mut all) = self.by_target.remove(&target) else {
            return;
        };
        let rest = Arc::make_mut(&mut all);
        rest.retain(|waiting| waiting.sequence != oldest);
        if !rest.is_empty() {
            self.by_target.insert(target, all);
        }
        self.count -= 1;
    }
}

impl Room {
    /// An event was recorded: redactions that waited for it have had their effect on it, if they may; and it may be one itself that waits.
    pub(super) fn note_early(&mut self, event: &RoomEvent) {
        if !matches!(event.verdict, Verdict::Rejected(_)) {
            self.early.forget(&event.pdu.event_id);
        }
        if event.verdict != Verdict::Held {
            return;
        }
        let rules = self.rules.as_ref();
        if let Some(target) = rules.and_then(|rules| redact::target_of(rules, &event.pdu)) {
            let waiting = Waiting {
                sequence: event.sequence,
                redaction: event.pdu.event_id.clone(),
                server: event.pdu.sender.server_name().to_owned(),
            };
            self.early.note(target, waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> OwnedEventId {
        EventId::parse(text).unwrap()
    }

    fn note(early: &mut Early, sequence: Sequence, target: &str, server: &str) {
        let waiting = Waiting {
            sequence,
            redaction: id(&format!("$r{sequence}")),
            server: ServerName::parse(server).unwrap(),
        };
        early.note(id(target), waiting);
    }

    #[test]
    fn those_that_wait_are_found_by_what_they_wait_for() {
        let mut early = Early::default();
        note(&mut early, 3, "$a", "x");
        note(&mut early, 4, "$b", "y");
        note(&mut early, 5, "$a", "y");
        assert_eq!(early.of(&id("$a")), [id("$r3"), id("$r5")]);
        assert_eq!(early.of(&id("$c")), [] as [OwnedEventId; 0]);
        let mut later = early.clone();
        assert!(!later.has_changed_for("$a", &early));
        note(&mut later, 6, "$a", "z");
        assert!(later.has_changed_for("$a", &early) && !later.has_changed_for("$b", &early));
        assert_eq!(Early::from_stored(&early.stored()), early);
        early.forget(&id("$a"));
        early.forget(&id("$c"));
        assert_eq!((early.stored().len(), early.count), (1, 1));
    }

    #[test]
    fn who_floods_pushes_out_their_own() {
        let mut early = Early::default();
        note(&mut early, 1, "$wanted", "good");
        for sequence in 2..3_000 {
            note(&mut early, sequence, &format!("$flood{sequence}"), "evil");
        }
        assert_eq!(early.count, EARLY_MAX);
        assert_eq!(early.stored().len(), EARLY_MAX);
        assert_eq!(early.of(&id("$wanted")), [id("$r1")]);
        assert!(early.of(&id("$flood2")).is_empty());
        assert!(!early.of(&id("$flood2999")).is_empty());
        let restored = Early::from_stored(&early.stored());
        assert_eq!(restored, early);
    }
}
