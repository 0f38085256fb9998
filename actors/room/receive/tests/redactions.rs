//! Redactions that come before what they redact, and after.

use std::sync::Arc;

use futures_util::FutureExt as _;
use playhouse_schema::record::room::Verdict;
use ruma::RoomVersionId;
use serde_json::json;

use super::{ALICE, BOB, Fate, Oracle, Peer, ReceivedEvent, Role, take_in};
use crate::room::{RoomError, early::Early, event::RoomEvent};

const CAROL: &str = "@carol:c";

/// Bob speaks; somebody redacts that without having heard it. These are the seventh and the eighth event.
fn unheard(by: &str) -> Oracle {
    let mut oracle = entered();
    said_and_redacted(&mut oracle, by, 5);
    oracle
}

/// Alice's room, with Bob and Carol in it: the first six events.
fn entered() -> Oracle {
    let mut oracle = Oracle::new(1, RoomVersionId::V11, true);
    for (prev, user_id) in [(3, BOB), (4, CAROL)] {
        let join = json!({"membership": "join"});
        oracle.add(&[prev], user_id, ("m.room.member", Some(user_id)), join);
    }
    oracle
}

fn said_and_redacted(oracle: &mut Oracle, by: &str, after: usize) {
    let text = ("m.room.message", None);
    oracle.add(&[after], BOB, text, json!({"body": "secret"}));
    let target = oracle.nodes.len() - 1;
    let redacts = json!({"redacts": oracle.nodes[target].pdu.event_id});
    oracle.add(&[after], by, ("m.room.redaction", None), redacts);
}

/// A server that knows so many events.
fn peer_of(oracle: &Oracle, known: usize) -> Peer {
    let mut peer = Peer::of(oracle);
    peer.receive(vec![oracle.first()]);
    let line = (1..known).map(|at| oracle.event(at, Role::Next));
    take(&mut peer, line.collect());
    peer
}

/// All of them are taken in.
fn take(peer: &mut Peer, events: Vec<ReceivedEvent>) {
    let fates = peer.receive(events);
    let is_taken = |fate: &Fate| *fate == Fate::Accepted;
    assert!(fates.iter().all(|(_, fate)| is_taken(fate)), "{fates:?}");
}

impl Peer {
    fn verdict(&self, oracle: &Oracle, at: usize) -> Verdict {
        self.look(oracle, at).verdict.clone()
    }

    fn content(&self, oracle: &Oracle, at: usize) -> String {
        self.look(oracle, at).pdu.content_json().to_owned()
    }

    /// An event as the log has it.
    fn look(&self, oracle: &Oracle, at: usize) -> Arc<RoomEvent> {
        let event_id = &oracle.nodes[at].pdu.event_id;
        let weighing = self.weighing();
        let event = weighing.history.look_up(event_id).now_or_never();
        event.unwrap().unwrap().expect("it was received")
    }
}

#[test]
fn it_waits_and_is_hidden_until_its_target_comes() {
    for by in [ALICE, BOB] {
        let oracle = unheard(by);
        let mut peer = peer_of(&oracle, 6);
        take(&mut peer, vec![oracle.event(7, Role::Next)]);
        assert_eq!(peer.verdict(&oracle, 7), Verdict::Held);
        assert!(!peer.look(&oracle, 7).is_visible());
        assert_eq!(peer.ends(), [oracle.nodes[7].pdu.event_id.clone()]);
        // So it is after a restart, by the log or by a snapshot.
        let early = peer.world.room.early.clone();
        assert_ne!(early, Early::default());
        assert_eq!(peer.world.replayed().early, early);
        peer.world.room = peer.world.restored();
        assert_eq!(peer.world.room.early, early);
        take(&mut peer, vec![oracle.event(6, Role::Next)]);
        assert_eq!(peer.content(&oracle, 6), "{}", "redacted by {by}");
        let because = peer.look(&oracle, 6);
        let because = because.redacted_because().unwrap().to_owned();
        assert!(because.contains(oracle.nodes[7].pdu.event_id.as_str()));
        assert_eq!(peer.verdict(&oracle, 7), Verdict::Accepted);
        assert_eq!(peer.world.room.early, Early::default());
        assert_eq!(peer.world.replayed().early, Early::default());
        let mut recent = peer.world.room.recent.iter();
        assert!(recent.all(|event| event.is_visible()));
    }
}

#[test]
fn who_has_not_the_power_redacts_nothing() {
    let oracle = unheard(CAROL);
    // Before its target, and after it.
    for order in [[7, 6], [6, 7]] {
        let mut peer = peer_of(&oracle, 6);
        for at in order {
            take(&mut peer, vec![oracle.event(at, Role::Next)]);
        }
        assert_eq!(peer.content(&oracle, 6), r#"{"body":"secret"}"#);
        assert!(!peer.look(&oracle, 7).is_visible());
        assert_eq!(peer.world.room.early, Early::default());
    }
}

#[test]
fn the_power_of_that_time_counts() {
    let mut oracle = entered();
    let powers = |carol: u8| json!({"users": {ALICE: 100, CAROL: carol}});
    let key = ("m.room.power_levels", Some(""));
    oracle.add(&[5], ALICE, key, powers(50));
    said_and_redacted(&mut oracle, CAROL, 6);
    oracle.add(&[8], ALICE, key, powers(0));
    said_and_redacted(&mut oracle, CAROL, 9);
    oracle.add(&[11], ALICE, key, powers(50));
    let mut peer = peer_of(&oracle, 7);
    for at in [8, 9, 11, 12, 7, 10] {
        take(&mut peer, vec![oracle.event(at, Role::Next)]);
    }
    assert_eq!(peer.content(&oracle, 7), "{}");
    assert_eq!(peer.content(&oracle, 10), r#"{"body":"secret"}"#);
    assert!(peer.look(&oracle, 8).is_visible());
    assert!(!peer.look(&oracle, 11).is_visible());
}

#[test]
fn both_may_come_at_once() {
    let oracle = unheard(BOB);
    let mut peer = peer_of(&oracle, 6);
    let both = [7, 6].map(|at| oracle.event(at, Role::Next));
    take(&mut peer, both.into());
    assert_eq!(peer.content(&oracle, 6), "{}");
    assert_eq!(peer.verdict(&oracle, 7), Verdict::Accepted);
    assert_eq!(peer.world.room.early, Early::default());
}

#[test]
fn what_is_redacted_while_it_is_weighed_is_weighed_again() {
    let oracle = unheard(BOB);
    let mut peer = peer_of(&oracle, 6);
    let mut weighing = peer.weighing();
    let fate = weighing.weigh(oracle.event(6, Role::Next)).now_or_never();
    assert_eq!(fate.unwrap().unwrap(), Fate::Accepted);
    // Whether the ends have changed is another question.
    weighing.depends_on_ends = false;
    let weighed = weighing.finish().unwrap();
    assert!(take_in(&peer.world.room, weighed.clone()).is_ok());
    take(&mut peer, vec![oracle.event(7, Role::Next)]);
    let refused = take_in(&peer.world.room, weighed).map(drop);
    assert_eq!(refused.unwrap_err(), RoomError::Moved);
}

#[test]
fn either_may_be_of_the_past() {
    let oracle = unheard(BOB);
    for (first, second) in [(Role::Next, Role::Past), (Role::Past, Role::Past)] {
        let mut peer = peer_of(&oracle, 6);
        take(&mut peer, vec![oracle.event(7, first)]);
        assert_eq!(peer.verdict(&oracle, 7), Verdict::Held);
        take(&mut peer, vec![oracle.event(6, second)]);
        assert_eq!(peer.content(&oracle, 6), "{}");
        assert!(peer.look(&oracle, 7).is_visible());
    }
}

#[test]
fn what_was_redacted_as_part_of_a_state_stays_so() {
    let mut oracle = entered();
    let key = ("m.room.topic", Some(""));
    oracle.add(&[5], BOB, key, json!({"topic": "secret"}));
    let redacts = json!({"redacts": oracle.nodes[6].pdu.event_id});
    oracle.add(&[5], BOB, ("m.room.redaction", None), redacts);
    // It is known before the redaction, or comes after it; and then finds its place.
    for order in [[6, 7], [7, 6]] {
        let mut peer = peer_of(&oracle, 6);
        for at in order {
            let role = if at == 6 { Role::Outlier } else { Role::Next };
            take(&mut peer, vec![oracle.event(at, role)]);
        }
        assert_eq!(peer.content(&oracle, 6), "{}");
        take(&mut peer, vec![oracle.event(6, Role::Next)]);
        assert_eq!(peer.content(&oracle, 6), "{}");
        assert!(peer.look(&oracle, 7).is_visible());
    }
    // All of that at once.
    let mut peer = peer_of(&oracle, 6);
    let roles = [(6, Role::Outlier), (7, Role::Next), (6, Role::Next)];
    let events = roles.map(|(at, role)| oracle.event(at, role));
    take(&mut peer, events.into());
    assert_eq!(peer.content(&oracle, 6), "{}");
}

#[test]
fn what_was_rejected_is_waited_for_as_if_it_had_not_come() {
    let mut oracle = entered();
    let key = ("m.room.name", Some(""));
    oracle.add(&[5], CAROL, key, json!({"name": "secret"}));
    let redacts = json!({"redacts": oracle.nodes[6].pdu.event_id});
    oracle.add(&[5], CAROL, ("m.room.redaction", None), redacts);
    for order in [[7, 6], [6, 7]] {
        let mut peer = peer_of(&oracle, 6);
        for at in order {
            peer.receive(vec![oracle.event(at, Role::Next)]);
        }
        assert!(matches!(peer.verdict(&oracle, 6), Verdict::Rejected(_)));
        assert_eq!(peer.verdict(&oracle, 7), Verdict::Held);
        assert_ne!(peer.world.room.early, Early::default());
    }
}
