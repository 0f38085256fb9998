//! What an event costs in a room with many ends. Prints, and judges only that nothing goes wrong: how fast a machine is says nothing about the program.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use ruma::RoomVersionId;
use serde_json::json;

use super::{
    super::{Fate, Role},
    ALICE, Peer,
    history::Oracle,
};
use crate::room::{
    RoomCommand,
    domain::decide,
    message::SendEvent,
    testing::{env, message},
};

/// So many events follow on the beginning of the room, whatever the number of ends: the log that is searched is as long.
const EVENTS: usize = 300;

/// So many of them are measured, the last ones, after as many that come one by one as well: on each branch one.
const MEASURED: usize = 100;

/// A room in which so many branches grow side by side; each begins with a topic of its own, if they are to differ.
fn branches(ends: usize, differ: bool) -> Oracle {
    let mut oracle = Oracle::new(1, RoomVersionId::V10, false);
    let mut tips = vec![3; ends];
    for number in 0..EVENTS {
        let tip = number % ends;
        let topic = json!({"topic": number});
        let text = json!({"body": number.to_string()});
        if differ && number < ends {
            oracle.add(&[tips[tip]], ALICE, ("m.room.topic", Some("")), topic);
        } else {
            oracle.add(&[tips[tip]], ALICE, ("m.room.message", None), text);
        }
        tips[tip] = oracle.nodes.len() - 1;
    }
    oracle
}

/// What receiving an event takes, and what making one takes.
fn costs(ends: usize, differ: bool) -> (Duration, Duration) {
    let oracle = branches(ends, differ);
    let mut peer = Peer::of(&oracle);
    peer.receive(vec![oracle.first()]);
    let (first, last) = (oracle.nodes.len() - MEASURED, oracle.nodes.len());
    let early = (1..first - MEASURED).map(|at| oracle.event(at, Role::Next));
    peer.receive(early.collect());
    let mut one_by_one = |range: Range<usize>| {
        let begun = Instant::now();
        for at in range {
            let fates = peer.receive(vec![oracle.event(at, Role::Next)]);
            assert_eq!(fates[0].1, Fate::Accepted, "{ends} ends");
        }
        begun.elapsed() / MEASURED as u32
    };
    one_by_one(first - MEASURED..first);
    let received = one_by_one(first..last);
    assert_eq!(peer.ends().len(), ends);
    let env = env();
    let begun = Instant::now();
    for _ in 0..MEASURED {
        let event = SendEvent {
            sender: ALICE.try_into().unwrap(),
            ..message("alice", "hello")
        };
        let sent = decide(
            &peer.world.room,
            RoomCommand::SendEvent(Box::new(event)),
            &env,
        );
        assert_eq!(sent.unwrap().records.len(), 1);
    }
    (received, begun.elapsed() / MEASURED as u32)
}

#[test]
fn what_an_event_costs_by_the_number_of_ends() {
    for differ in [false, true] {
        for ends in [1, 10, 50, 100] {
            let (received, sent) = costs(ends, differ);
            let kind = if differ { "differing" } else { "equal" };
            println!("{ends} ends with {kind} states: received in {received:?}, made in {sent:?}");
        }
    }
}
