//! State resets: keys of the state in force that change although nothing that has come rules so. State resolution does this at times; operators are told.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use imbl::ordmap::DiffItem;
use playhouse_schema::record::room::{KeyReset, KeysReset, Placement, RoomRecord, Verdict};
use ruma::{
    EventId, OwnedEventId, RoomId,
    room_version_rules::RoomVersionRules,
    state_res::{Event as _, auth_types_for_event},
};
use serde::{Deserialize, Serialize};

use super::{PROVISIONAL, weigh::Weighing};
use crate::room::{
    event::RoomEvent,
    state::{StateKey, StateMap},
};

/// So many resets of a room are remembered, the newest.
const RESETS_KEPT: usize = 50;

/// So many ends of the graph are told of with a reset.
const ENDS_TOLD_MAX: usize = 20;

/// What one that is remembered takes, bytes, roughly.
const RESET_BYTES: usize = 500;

/// So many of those that one event causes are logged one by one.
const LOGGED_MAX: usize = 10;

/// A key of the state in force that has changed although nothing that had come ruled so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReset {
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The key: type.
    pub event_type: String,
    /// The key: state key.
    pub state_key: String,
    /// What was in force.
    pub old: Option<OwnedEventId>,
    /// What is in force.
    pub new: Option<OwnedEventId>,
    /// The event with whose arrival it changed.
    pub cause: OwnedEventId,
    /// The ends of the graph then; of many only some.
    pub ends: Vec<OwnedEventId>,
}

/// The newest resets of a room, oldest first: a fold of its records. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resets(Arc<VecDeque<StateReset>>);

impl Resets {
    /// All that are remembered.
    pub(in crate::room) fn list(&self) -> Vec<StateReset> {
        self.0.iter().cloned().collect()
    }

    /// Reads what a snapshot keeps of it.
    pub(in crate::room) fn from_list(resets: Vec<StateReset>) -> Self {
        Self(Arc::new(resets.into()))
    }

    /// The bytes it takes, about.
    pub(in crate::room) fn weight_bytes(&self) -> usize {
        self.0.len() * RESET_BYTES
    }

    /// Takes in a record.
    pub(in crate::room) fn take_in(&mut self, record: &KeysReset) {
        let read = |event_id: &String| EventId::parse(event_id).ok();
        let Some(cause) = read(&record.cause) else {
            return;
        };
        let ends: Vec<_> = record.ends.iter().filter_map(read).collect();
        let kept = Arc::make_mut(&mut self.0);
        kept.extend(record.keys.iter().map(|key| StateReset {
            at_ms: record.at_ms,
            event_type: key.event_type.clone(),
            state_key: key.state_key.clone(),
            old: key.old.as_ref().and_then(read),
            new: key.new.as_ref().and_then(read),
            cause: cause.clone(),
            ends: ends.clone(),
        }));
        let surplus = kept.len().saturating_sub(RESETS_KEPT);
        kept.drain(..surplus);
    }
}

impl Weighing {
    /// Has the resets that were found recorded, as far as they will be remembered. Answers all of them.
    pub(super) fn record_resets(&mut self, at_ms: u64) -> Vec<StateReset> {
        let found = std::mem::take(&mut self.resets);
        let surplus = found.len().saturating_sub(RESETS_KEPT);
        let newest = found.get(surplus..).unwrap_or_default();
        for together in newest.chunk_by(|one, other| one.cause == other.cause) {
            let Some(first) = together.first() else {
                continue;
            };
            let ends = first.ends.iter().take(ENDS_TOLD_MAX);
            let keys = together.iter().map(|reset| KeyReset {
                event_type: reset.event_type.clone(),
                state_key: reset.state_key.clone(),
                old: reset.old.as_ref().map(ToString::to_string),
                new: reset.new.as_ref().map(ToString::to_string),
            });
            let record = KeysReset {
                at_ms,
                cause: first.cause.to_string(),
                ends: ends.map(ToString::to_string).collect(),
                keys: keys.collect(),
            };
            self.push(RoomRecord::KeysReset(record));
        }
        found
    }
}

/// Counts and logs resets.
pub(super) fn report(room_id: &RoomId, resets: &[StateReset]) {
    if resets.is_empty() {
        return;
    }
    metrics::counter!("playhouse_state_resets_total").increment(resets.len() as u64);
    for reset in resets.iter().take(LOGGED_MAX) {
        let StateReset {
            event_type,
            state_key,
            old,
            new,
            cause,
            ends,
            ..
        } = reset;
        tracing::warn!(
            %room_id, %event_type, %state_key, ?old, ?new, %cause, ?ends,
            "a room's state was reset by state resolution"
        );
    }
    if resets.len() > LOGGED_MAX {
        let more = resets.len() - LOGGED_MAX;
        tracing::warn!(%room_id, more, "further keys of its state were reset");
    }
}

/// A key of the state in force, and how it has changed.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) key: StateKey,
    pub(super) old: Option<Arc<RoomEvent>>,
    pub(super) new: Option<Arc<RoomEvent>>,
}

/// What has changed from one state to another.
pub(super) fn turns(before: &StateMap, after: &StateMap) -> Vec<Turn> {
    let turn = |key: &StateKey, old: Option<&Arc<RoomEvent>>, new: Option<&Arc<RoomEvent>>| Turn {
        key: key.clone(),
        old: old.cloned(),
        new: new.cloned(),
    };
    let turns = before.diff(after).map(|item| match item {
        DiffItem::Add(key, new) => turn(key, None, Some(new)),
        DiffItem::Update { old, new } => turn(new.0, Some(old.1), Some(new.1)),
        DiffItem::Remove(key, old) => turn(key, Some(old), None),
    });
    let is_other = |turn: &Turn| {
        let ids = [&turn.old, &turn.new];
        let [old, new] = ids.map(|event| event.as_ref().map(|event| &event.pdu.event_id));
        old != new
    };
    turns.filter(is_other).collect()
}

/// Those changes that nothing rules. `news` are the keys under which something has come. A change is ruled when what is in force now was not part of the
/// graph before, or when a key that authorises the old value or the new one has news or has itself changed as it may.
pub(super) fn unruled(
    rules: &RoomVersionRules,
    turns: Vec<Turn>,
    news: &BTreeSet<StateKey>,
) -> Vec<Turn> {
    let mut moved = news.clone();
    let (fresh, mut open): (Vec<_>, Vec<_>) = turns.into_iter().partition(is_fresh);
    moved.extend(fresh.into_iter().map(|turn| turn.key));
    loop {
        let (ruled, rest): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|turn| rulers(rules, turn).iter().any(|key| moved.contains(key)));
        open = rest;
        if ruled.is_empty() || open.is_empty() {
            return open;
        }
        moved.extend(ruled.into_iter().map(|turn| turn.key));
    }
}

/// What is in force now has just come, or was known, but no part of the graph.
fn is_fresh(turn: &Turn) -> bool {
    turn.new.as_ref().is_some_and(|new| {
        new.sequence >= PROVISIONAL
            || new.placement != Placement::Live
            || new.verdict != Verdict::Accepted
    })
}

/// The other keys that decide whether the old value and the new one are allowed.
fn rulers(rules: &RoomVersionRules, turn: &Turn) -> BTreeSet<StateKey> {
    let mut rulers = BTreeSet::new();
    for event in [&turn.old, &turn.new].into_iter().flatten() {
        let pdu = &event.pdu;
        let keys = auth_types_for_event(
            &pdu.event_type,
            &pdu.sender,
            pdu.state_key.as_deref(),
            pdu.content(),
            &rules.authorization,
        );
        let keys = keys.unwrap_or_default().into_iter();
        rulers.extend(keys.map(|(event_type, key)| (event_type.to_string().into(), key)));
    }
    rulers.remove(&turn.key);
    rulers
}

#[cfg(test)]
mod tests {
    use playhouse_schema::record::room::EventRecord;
    use ruma::{RoomVersionId, events::TimelineEventType};
    use serde_json::json;

    use super::*;

    fn event(sequence: u64, (kind, key): (&str, &str), sender: &str) -> Arc<RoomEvent> {
        let pdu = json!({
            "room_id": "!r:x", "sender": sender, "type": kind, "state_key": key, "content": {"membership": "join"},
            "depth": 1, "origin_server_ts": 1, "prev_events": [], "auth_events": [],
        });
        let record = EventRecord {
            event_id: format!("${sequence}:x"),
            pdu: pdu.to_string().into_bytes().into(),
            before: 0,
            replaces: None,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction: None,
            from: None,
        };
        Arc::new(RoomEvent::from_record(sequence, sequence, &record).unwrap())
    }

    fn topic(sequence: u64) -> Arc<RoomEvent> {
        event(sequence, ("m.room.topic", ""), "@bob:x")
    }

    fn state(events: &[Arc<RoomEvent>]) -> StateMap {
        let key = |event: &Arc<RoomEvent>| {
            let state_key = event.pdu.state_key.clone().unwrap();
            (event.pdu.event_type.clone(), state_key)
        };
        let entries = events.iter().map(|event| (key(event), event.clone()));
        entries.collect()
    }

    fn resets(
        before: &[Arc<RoomEvent>],
        after: &[Arc<RoomEvent>],
        news: &[StateKey],
    ) -> Vec<String> {
        let rules = RoomVersionId::V10.rules().unwrap();
        let news = news.iter().cloned().collect();
        let turns = turns(&state(before), &state(after));
        let unruled = unruled(&rules, turns, &news).into_iter();
        unruled.map(|turn| turn.key.0.to_string()).collect()
    }

    fn member(name: &str) -> StateKey {
        (TimelineEventType::RoomMember, name.to_owned())
    }

    #[test]
    fn what_has_just_come_is_no_reset() {
        let (old, new) = (topic(5), topic(PROVISIONAL));
        let unmoved = event(2, ("m.room.name", ""), "@bob:x");
        let none: [String; 0] = [];
        assert_eq!(
            resets(&[old.clone(), unmoved.clone()], &[new, unmoved], &[]),
            none
        );
        let same = [old];
        assert_eq!(resets(&same, &same, &[]), none);
    }

    #[test]
    fn what_goes_back_or_vanishes_without_a_reason_is_one() {
        assert_eq!(resets(&[topic(5)], &[topic(3)], &[]), ["m.room.topic"]);
        assert_eq!(resets(&[topic(5)], &[], &[]), ["m.room.topic"]);
        // News of somebody else, or of the very key, are no reason.
        let topic_key = (TimelineEventType::RoomTopic, String::new());
        let news = [member("@carol:x"), topic_key];
        assert_eq!(resets(&[topic(5)], &[topic(3)], &news), ["m.room.topic"]);
    }

    #[test]
    fn what_follows_from_a_ruling_is_none() {
        let none: [String; 0] = [];
        let news = [member("@bob:x")];
        assert_eq!(resets(&[topic(5)], &[topic(3)], &news), none);
        // Bob's fall, ruled by new power levels, takes his topic along.
        let powers = event(PROVISIONAL, ("m.room.power_levels", ""), "@alice:x");
        let bob = |sequence| event(sequence, ("m.room.member", "@bob:x"), "@bob:x");
        let before = [topic(5), bob(4)];
        assert_eq!(resets(&before, &[topic(3), bob(2), powers], &[]), none);
        assert_eq!(
            resets(&before, &[topic(3), bob(2)], &[]),
            ["m.room.member", "m.room.topic"]
        );
    }

    #[test]
    fn only_the_newest_are_remembered() {
        let mut resets = Resets::default();
        let record = |at_ms, numbers: std::ops::Range<u64>| KeysReset {
            at_ms,
            cause: "$cause".to_owned(),
            ends: vec!["$end".to_owned(), "no event".to_owned()],
            keys: numbers
                .map(|number| KeyReset {
                    event_type: "m.room.topic".to_owned(),
                    state_key: number.to_string(),
                    old: Some("$old".to_owned()),
                    new: None,
                })
                .collect(),
        };
        resets.take_in(&record(1, 0..30));
        resets.take_in(&record(2, 30..60));
        let kept = resets.list();
        assert_eq!(
            (kept.len(), kept[0].at_ms, kept[49].at_ms),
            (RESETS_KEPT, 1, 2)
        );
        assert_eq!([&*kept[0].state_key, &*kept[49].state_key], ["10", "59"]);
        assert_eq!(kept[0].ends, ["$end"]);
        assert_eq!(
            (kept[0].old.as_deref().map(EventId::as_str), &kept[0].new),
            (Some("$old"), &None)
        );
        assert_eq!(Resets::from_list(kept), resets);
    }
}
