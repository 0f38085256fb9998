//! State resets: keys of the state in force that change although nothing that has come rules so. State resolution does this at times; operators are told.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use imbl::ordmap::DiffItem;
use parking_lot::Mutex;
use playhouse_schema::record::room::{Placement, Verdict};
use ruma::{
    OwnedEventId, RoomId,
    room_version_rules::RoomVersionRules,
    state_res::{Event as _, auth_types_for_event},
};
use serde::{Deserialize, Serialize};

use super::PROVISIONAL;
use crate::room::{
    event::RoomEvent,
    state::{StateKey, StateMap},
};

/// So many resets of a room are remembered, the newest.
const RESETS_KEPT: usize = 50;

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
    /// The ends of the graph then.
    pub ends: Vec<OwnedEventId>,
}

/// The newest resets of a room, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Resets(Arc<Mutex<VecDeque<StateReset>>>);

impl Resets {
    /// All that are remembered.
    pub(in crate::room) fn list(&self) -> Vec<StateReset> {
        self.0.lock().iter().cloned().collect()
    }

    /// Counts, logs and remembers some.
    pub(super) fn note(&self, room_id: &RoomId, at_ms: u64, mut resets: Vec<StateReset>) {
        if resets.is_empty() {
            return;
        }
        for reset in &mut resets {
            reset.at_ms = at_ms;
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
        let mut kept = self.0.lock();
        kept.extend(resets);
        let surplus = kept.len().saturating_sub(RESETS_KEPT);
        kept.drain(..surplus);
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
        let resets = Resets::default();
        let reset = |number: u64| StateReset {
            at_ms: 0,
            event_type: "m.room.topic".to_owned(),
            state_key: number.to_string(),
            old: None,
            new: None,
            cause: topic(1).pdu.event_id.clone(),
            ends: Vec::new(),
        };
        let room_id = RoomId::parse("!r:x").unwrap();
        resets.note(&room_id, 1, (0..30).map(reset).collect());
        resets.note(&room_id, 2, (30..60).map(reset).collect());
        let kept = resets.list();
        assert_eq!(
            (kept.len(), kept[0].at_ms, kept[49].at_ms),
            (RESETS_KEPT, 1, 2)
        );
        assert_eq!([&*kept[0].state_key, &*kept[49].state_key], ["10", "59"]);
    }
}
