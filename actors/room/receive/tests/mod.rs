//! Events received one after the other, against the rules applied from scratch.

mod cost;
mod forks;
mod history;
mod keys;
mod lean;
mod listener;
mod loose;
mod redactions;

use std::sync::Arc;

use futures_util::FutureExt as _;
use playhouse_schema::{
    address::Sequence,
    record::room::{Placement, RoomRecord},
};
use ruma::{EventId, OwnedEventId, RoomVersionId};
use serde_json::json;

use self::history::Oracle;
use super::{Fate, Fates, Memory, Occasion, ReceivedEvent, Role, take_in, weigh::Weighing};
use crate::room::{
    Room,
    query::{
        history::History,
        tests::{World, at_once},
    },
    resolve::{self, StateIds},
};

const ALICE: &str = "@alice:a";
const BOB: &str = "@bob:b";

/// A server that receives.
struct Peer {
    world: World,
    version: RoomVersionId,
    memory: Memory,
    /// Whether states were resolved while members were missing in them.
    has_merged_gaps: bool,
}

impl Peer {
    /// One that knows nothing of a room yet.
    fn of(oracle: &Oracle) -> Self {
        let mut world = World::empty();
        world.room = Room::nothing(oracle.room_id.clone());
        let version = oracle.version.clone();
        Self {
            world,
            version,
            memory: Memory::default(),
            has_merged_gaps: false,
        }
    }

    fn receive(&mut self, events: Vec<ReceivedEvent>) -> Fates {
        self.receive_on(events, &Occasion::News)
    }

    fn receive_on(&mut self, events: Vec<ReceivedEvent>, occasion: &Occasion) -> Fates {
        let has_gaps = self.world.room.partial().is_some();
        let mut weighing = self.weighing();
        weighing.recall(&self.memory);
        if let Occasion::PartialArrival(servers) = occasion {
            weighing.told_servers = Some(servers.clone());
        }
        let fates = at_once(weighing.weigh_all(&events)).unwrap();
        if let Occasion::Completion { join, state } = occasion {
            at_once(weighing.complete(join, state)).unwrap();
        }
        self.has_merged_gaps |= has_gaps && weighing.merged.keys().any(|ids| ids.len() > 1);
        let world = &mut self.world;
        let learned = weighing.learned();
        weighing.record_resets(1);
        if let Some(take) = weighing.finish() {
            let decision = take_in(&world.room, take).expect("nothing happens in between");
            if let Some(prepare) = decision.prepare {
                prepare(&mut world.room);
            }
            for record in &decision.records {
                self.has_merged_gaps |= has_gaps && matches!(record, RoomRecord::StateSet(_));
                world.write(record);
            }
            for (target, payload) in decision.erasures {
                world.erase(target, payload);
            }
            self.memory.keep(learned);
        }
        if matches!(occasion, Occasion::Completion { .. }) {
            self.memory = Memory::default();
        }
        assert!(world.room.absent.is_empty());
        world.room.tidy_up();
        fates
    }

    fn weighing(&self) -> Weighing {
        let room = Arc::new(self.world.room.clone());
        let history = History::new(room, self.world.next() - 1, self.world.archive());
        Weighing::new(history, Some(&self.version)).unwrap()
    }

    /// The state before an event, which depends neither on what this server has shown nor on what came first.
    fn state_before(&self, event_id: &EventId) -> StateIds {
        let mut weighing = self.weighing();
        let event = weighing.find(event_id).now_or_never().unwrap().unwrap();
        let before = event.expect("it was received").before;
        let state = weighing.state(before).now_or_never().unwrap().unwrap();
        resolve::ids_of(&state)
    }

    fn sequence(&self, event_id: &EventId) -> Sequence {
        let mut weighing = self.weighing();
        let event = weighing.find(event_id).now_or_never().unwrap().unwrap();
        event.expect("it was received").sequence
    }

    /// The content of a state event in the state before another event, as a weighing would have it now.
    fn content_before(&self, event_id: &EventId, key: (&str, &str)) -> String {
        let mut weighing = self.weighing();
        weighing.recall(&self.memory);
        let event = weighing.find(event_id).now_or_never().unwrap().unwrap();
        let before = event.expect("it was received").before;
        let state = weighing.state(before).now_or_never().unwrap().unwrap();
        let event = &state[&(key.0.into(), key.1.to_owned())];
        event.pdu.content_json().to_owned()
    }

    fn state(&self) -> StateIds {
        resolve::ids_of(&self.world.room.current)
    }

    fn ends(&self) -> Vec<OwnedEventId> {
        let ends = self.world.room.extremities.iter();
        ends.map(|end| end.event_id.clone()).collect()
    }
}

/// Alice's room, plain.
fn oracle() -> Oracle {
    Oracle::new(1, RoomVersionId::V10, true)
}

/// The same, in which Bob has come in and says something.
fn bob_says_hello() -> Oracle {
    let mut oracle = oracle();
    let join = json!({"membership": "join"});
    oracle.add(&[3], BOB, ("m.room.member", Some(BOB)), join);
    oracle.add(
        &[4],
        BOB,
        ("m.room.message", None),
        json!({"body": "hello"}),
    );
    oracle
}

#[test]
fn a_line_is_received_as_it_is() {
    let mut oracle = bob_says_hello();
    let banned = json!({"membership": "ban"});
    oracle.add(&[5], BOB, ("m.room.member", Some(ALICE)), banned);
    let mut peer = Peer::of(&oracle);
    let events = (1..oracle.nodes.len()).map(|at| oracle.event(at, Role::Next));
    let all: Vec<_> = std::iter::once(oracle.first()).chain(events).collect();
    let fates = peer.receive(all.clone());
    for (_, fate) in &fates[..6] {
        assert_eq!(*fate, Fate::Accepted);
    }
    assert!(matches!(fates[6].1, Fate::Rejected(_)), "{fates:?}");
    assert_eq!(peer.state(), oracle.nodes[6].after);
    assert_eq!(peer.ends(), [oracle.nodes[5].pdu.event_id.clone()]);
    // Who sends it all again hears the same again.
    let again = peer.receive(all);
    assert_eq!(again[6], fates[6]);
    for (_, fate) in &again[..6] {
        assert_eq!(*fate, Fate::Known);
    }
}

#[test]
fn what_is_missing_is_named() {
    let oracle = bob_says_hello();
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    let line = (1..4).map(|at| oracle.event(at, Role::Next)).collect();
    peer.receive(line);
    let id = |at: usize| oracle.nodes[at].pdu.event_id.clone();
    let fates = peer.receive(vec![oracle.event(5, Role::Next)]);
    let (prev_events, auth_events) = (Vec::new(), vec![id(4)]);
    let wanting = Fate::Wanting {
        prev_events,
        auth_events,
    };
    assert_eq!(fates, [(id(5), wanting)]);
    // With its authorising events as outliers the gap remains.
    let outlier = oracle.event(4, Role::Outlier);
    let fates = peer.receive(vec![outlier, oracle.event(5, Role::Next)]);
    assert_eq!(fates[0].1, Fate::Accepted);
    assert!(matches!(&fates[1].1, Fate::Wanting { prev_events, .. } if *prev_events == [id(4)]));
    // The outlier finds its place after all.
    let fates = peer.receive(vec![
        oracle.event(4, Role::Next),
        oracle.event(5, Role::Next),
    ]);
    assert!(
        fates.iter().all(|(_, fate)| *fate == Fate::Accepted),
        "{fates:?}"
    );
    assert_eq!(peer.state(), oracle.nodes[5].after);
}

#[test]
fn a_room_begins_with_a_given_state() {
    let mut oracle = oracle();
    for _ in 0..40 {
        oracle.happen();
    }
    oracle.conclude();
    let last = oracle.nodes.len() - 1;
    let mut peer = Peer::of(&oracle);
    let fates = peer.receive(oracle.given(last, Placement::Live));
    assert_eq!(fates.last().unwrap().1, Fate::Accepted, "{fates:?}");
    assert_eq!(peer.state(), oracle.nodes[last].after);
    assert_eq!(peer.world.room.version, Some(RoomVersionId::V10));
}

#[test]
fn what_lies_behind_a_soft_failed_event_is_no_end() {
    let mut oracle = oracle();
    let member = |membership: &str| json!({"membership": membership});
    let text = || json!({"body": "hello"});
    let bob = ("m.room.member", Some(BOB));
    oracle.add(&[3], BOB, bob, member("join"));
    oracle.add(&[4], ALICE, ("m.room.message", None), text());
    oracle.add(&[4], ALICE, bob, member("ban"));
    // Bob has not heard of the ban.
    oracle.add(&[5], BOB, ("m.room.message", None), text());
    oracle.add(&[6, 7], ALICE, ("m.room.message", None), text());
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    let fates = peer.receive((1..9).map(|at| oracle.event(at, Role::Next)).collect());
    assert!(matches!(fates[6].1, Fate::SoftFailed(_)), "{fates:?}");
    assert_eq!(fates[7].1, Fate::Accepted);
    assert_eq!(peer.ends(), [oracle.nodes[8].pdu.event_id.clone()]);
    assert_eq!(peer.state(), oracle.nodes[8].after);
}

#[test]
fn who_came_in_while_nothing_was_heard_is_heard_afterwards() {
    let mut oracle = oracle();
    let join = json!({"membership": "join"});
    oracle.add(&[3], BOB, ("m.room.member", Some(BOB)), join);
    for at in 4..6 {
        let content = json!({"body": "hello"});
        oracle.add(&[at], BOB, ("m.room.message", None), content);
    }
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    peer.receive((1..4).map(|at| oracle.event(at, Role::Next)).collect());
    // What happened in between cannot be had, but for the state.
    let mut events = oracle.given(5, Placement::Backfilled);
    events.push(oracle.event(6, Role::Next));
    let fates = peer.receive(events);
    assert_eq!(fates.last().unwrap().1, Fate::Accepted, "{fates:?}");
    assert_eq!(peer.state(), oracle.nodes[6].after);
    // It comes after all, and is no end.
    peer.receive(vec![oracle.event(4, Role::Next)]);
    assert_eq!(peer.ends(), [oracle.nodes[6].pdu.event_id.clone()]);
    assert_eq!(peer.state(), oracle.nodes[6].after);
}

/// A branch with a topic of its own and much else, and one with a later topic, which is redacted in the end. The topics are the fifth and the sixth event.
fn two_topics(seed: u64) -> Oracle {
    let mut oracle = Oracle::new(seed, RoomVersionId::V11, false);
    let topic = ("m.room.topic", Some(""));
    oracle.add(&[3], ALICE, topic, json!({"topic": "secret"}));
    oracle.add(&[3], ALICE, topic, json!({"topic": "public"}));
    let mut last = 4;
    for number in 0..150 {
        let key = number.to_string();
        oracle.add(&[last], ALICE, ("m.test", Some(&key)), json!({}));
        last = oracle.nodes.len() - 1;
    }
    let text = ("m.room.message", None);
    for _ in 0..2 {
        oracle.add(&[last], ALICE, text, json!({"body": "aside"}));
        last = oracle.nodes.len() - 1;
    }
    let redacts = json!({"redacts": oracle.nodes[4].pdu.event_id});
    oracle.add(&[5], ALICE, ("m.room.redaction", None), redacts);
    oracle
}

#[test]
fn of_many_events_those_are_known_that_came_before() {
    let oracle = two_topics(1);
    let mut peer = Peer::of(&oracle);
    let last = oracle.nodes.len() - 1;
    let events = (1..last).map(|at| oracle.event(at, Role::Next));
    let all: Vec<_> = std::iter::once(oracle.first()).chain(events).collect();
    peer.receive(all[..80].to_vec());
    let mut other = Peer::of(&oracle);
    other.receive(all.clone());
    let fates = peer.receive(all);
    for (at, (_, fate)) in fates.iter().enumerate() {
        let expected = if at < 80 { Fate::Known } else { Fate::Accepted };
        assert_eq!(*fate, expected, "{at}");
    }
    assert_eq!(peer.state(), other.state());
    assert_eq!(peer.ends(), other.ends());
}

#[test]
fn what_is_redacted_is_remembered_nowhere() {
    let sent_at = |oracle: &Oracle, at: usize| oracle.nodes[at].pdu.origin_server_ts;
    let mut oracles = (1..).map(two_topics);
    let oracle = oracles
        .find(|oracle| sent_at(oracle, 4) < sent_at(oracle, 5))
        .unwrap();
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    let last = oracle.nodes.len() - 1;
    for at in 1..last {
        let fates = peer.receive(vec![oracle.event(at, Role::Next)]);
        assert_eq!(fates[0].1, Fate::Accepted);
    }
    let aside = &oracle.nodes[last - 1].pdu.event_id;
    let topic = ("m.room.topic", "");
    assert_eq!(peer.content_before(aside, topic), r#"{"topic":"secret"}"#);
    let sequence = peer.sequence(&oracle.nodes[4].pdu.event_id);
    let is_held = peer.world.room.held_event_id(sequence).is_some();
    assert!(!is_held, "it is remembered beside the room alone");
    peer.receive(vec![oracle.event(last, Role::Next)]);
    assert_eq!(peer.content_before(aside, topic), "{}");
}

/// Alice sets a topic, and then another that is dated back; then she says something as if she had not set the second. What resolution makes of it: the first
/// topic. Beside that she gives herself a name, which authorises her topics.
fn dated_back(seed: u64) -> Oracle {
    let mut oracle = Oracle::new(seed, RoomVersionId::V11, false);
    let topic = ("m.room.topic", Some(""));
    oracle.add(&[3], ALICE, topic, json!({"topic": "first"}));
    oracle.add(&[4], ALICE, topic, json!({"topic": "second"}));
    oracle.add(
        &[4],
        ALICE,
        ("m.room.message", None),
        json!({"body": "aside"}),
    );
    let named = json!({"membership": "join", "displayname": "Alice"});
    oracle.add(&[3], ALICE, ("m.room.member", Some(ALICE)), named);
    oracle
}

#[test]
fn a_reset_is_noticed_whatever_comes_along_and_is_remembered() {
    let sent_at = |oracle: &Oracle, at: usize| oracle.nodes[at].pdu.origin_server_ts;
    let mut oracles = (1..).map(dated_back);
    let oracle = oracles
        .find(|oracle| sent_at(oracle, 4) > sent_at(oracle, 5))
        .unwrap();
    let id = |at: usize| oracle.nodes[at].pdu.event_id.clone();
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    peer.receive((1..6).map(|at| oracle.event(at, Role::Next)).collect());
    assert!(peer.world.room.resets.list().is_empty());
    // What only authorises others rules nothing.
    let fates = peer.receive(vec![
        oracle.event(7, Role::Outlier),
        oracle.event(6, Role::Next),
    ]);
    assert!(
        fates.iter().all(|(_, fate)| *fate == Fate::Accepted),
        "{fates:?}"
    );
    let resets = peer.world.room.resets.list();
    assert_eq!(resets.len(), 1, "{resets:?}");
    let reset = &resets[0];
    assert_eq!(reset.event_type, "m.room.topic");
    assert_eq!((&reset.old, &reset.new), (&Some(id(5)), &Some(id(4))));
    assert_eq!((&reset.cause, reset.at_ms), (&id(6), 1));
    for room in [peer.world.replayed(), peer.world.restored()] {
        assert_eq!(room.resets, peer.world.room.resets);
    }
}
