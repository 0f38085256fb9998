//! Somebody comes into a room of which not all members are told, hears what happens, and learns of the members later.
//!
//! What is asserted is exact as long as no states were resolved while members were missing in them. Such a resolution may take up members out of auth chains,
//! and it stands when the members are known: of that only what restarts make of it is asserted.

use std::collections::BTreeSet;

use playhouse_schema::record::room::Placement;
use ruma::{ServerName, events::TimelineEventType};
use serde_json::Value;

use super::{
    super::{Fate, Occasion, ReceivedEvent, Role},
    Peer,
    forks::setting,
    history::{Oracle, Random, told},
};
use crate::room::{VERSIONS, resolve::StateIds};

/// So many histories are looked at by default.
const HISTORIES: u64 = 96;

/// So many things happen before somebody comes in.
const BEFORE: usize = 16;

/// So many things happen after that one after the other.
const LINE: usize = 8;

/// So many things happen then, with forks.
const AFTERWARDS: usize = 12;

/// One history in so many is signed and checked.
const SIGNED: u64 = 15;

/// When the members become known.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    AtOnce,
    InTheLine,
    Sometime,
    AtTheEnd,
}

const WHEN: [When; 4] = [
    When::AtOnce,
    When::InTheLine,
    When::Sometime,
    When::AtTheEnd,
];

/// A server that comes in, and what it has got of a history.
struct Guest<'a> {
    oracle: &'a Oracle,
    peer: Peer,
    /// The event by which it comes in.
    arrival: usize,
    /// The events that have their place in the graph.
    placed: BTreeSet<usize>,
    random: Random,
    tag: String,
}

impl Guest<'_> {
    fn follow(&mut self, when: When) {
        let newest = self.oracle.nodes.len();
        let first = self.arrival + 1;
        let moment = match when {
            When::AtOnce => first,
            When::InTheLine => first + 1 + self.random.below(LINE),
            When::Sometime => first + self.random.below(newest - first),
            When::AtTheEnd => newest,
        };
        self.arrive();
        let mut open: Vec<usize> = (first..newest).collect();
        loop {
            let ready = self.ready(&open, moment);
            if ready.is_empty() {
                break;
            }
            let length = 1 + self.random.below(6);
            self.bring(&ready[..length.min(ready.len())]);
            open.retain(|at| !self.placed.contains(at));
        }
        self.complete();
        for at in open {
            for prev in self.oracle.prev(at) {
                if !self.placed.contains(prev) {
                    let events = self.oracle.given(*prev, Placement::Backfilled);
                    self.receive(events, &Occasion::News);
                }
            }
            self.bring(&[at]);
        }
    }

    fn arrive(&mut self) {
        let servers = ["a", "b", "c"].map(|name| ServerName::parse(name).unwrap());
        let occasion = Occasion::PartialArrival(servers.to_vec());
        self.receive(self.oracle.given_lean(self.arrival), &occasion);
        let join = &self.oracle.nodes[self.arrival].pdu.event_id;
        let partial = self.peer.world.room.partial().expect("it has gaps");
        assert_eq!(partial.join, *join, "{}", self.tag);
        assert_eq!(partial.servers, servers, "{}", self.tag);
    }

    /// What follows on the arrival alone, and may come now: nothing before that can be bridged while there are gaps. Some of it waits.
    fn ready(&mut self, open: &[usize], moment: usize) -> Vec<usize> {
        let (mut known, mut ready) = (self.placed.clone(), Vec::new());
        for at in open.iter().copied().filter(|at| *at < moment) {
            let mut prev = self.oracle.prev(at).iter();
            // The first that may come does not wait.
            let waits = !ready.is_empty() && self.random.below(4) == 0;
            if !waits && prev.all(|prev| known.contains(prev)) {
                known.insert(at);
                ready.push(at);
            }
        }
        ready
    }

    /// Brings events of which all predecessors have their place; what authorises them, when it is asked for or before.
    fn bring(&mut self, list: &[usize]) {
        for attempt in 0..2 {
            let mut events = Vec::new();
            for at in list {
                if attempt > 0 || self.random.below(2) == 0 {
                    events.extend(self.oracle.outliers(*at, &[]));
                }
                events.push(self.oracle.event(*at, Role::Next));
            }
            self.receive(events, &Occasion::News);
            if list.iter().all(|at| self.placed.contains(at)) {
                return;
            }
        }
        panic!("{}: {list:?} have no place", self.tag);
    }

    fn complete(&mut self) {
        let mut events = self.oracle.given(self.arrival, Placement::Live);
        let Some(Role::Given { state, .. }) = events.pop().map(|event| event.role) else {
            panic!("the event comes last");
        };
        let join = self.oracle.nodes[self.arrival].pdu.event_id.clone();
        // Meanwhile the members may have come already, as outliers.
        if self.random.below(2) == 0 {
            let early = events.split_off(self.random.below(events.len()));
            let early = std::mem::replace(&mut events, early);
            self.receive(early, &Occasion::News);
        }
        self.receive(events, &Occasion::Completion { join, state });
        assert!(self.peer.world.room.partial().is_none(), "{}", self.tag);
    }

    fn receive(&mut self, events: Vec<ReceivedEvent>, occasion: &Occasion) {
        let is_outlier = |event: &ReceivedEvent| matches!(event.role, Role::Outlier);
        let outliers: Vec<_> = events.iter().map(is_outlier).collect();
        let fates = self.peer.receive_on(events, occasion);
        let is_exact = self.is_exact();
        for ((event_id, fate), is_outlier) in fates.into_iter().zip(outliers) {
            let at = self.oracle.number(&event_id);
            let rejected = self.oracle.nodes[at].pdu.rejected;
            match fate {
                Fate::Wanting { .. } | Fate::Unrecommended(_) | Fate::Repeats(_) => continue,
                Fate::Rejected(reason) => {
                    assert!(rejected || !is_exact, "{}: {at} {reason}", self.tag);
                }
                Fate::Known => {}
                Fate::Accepted | Fate::SoftFailed(_) => {
                    assert!(!rejected || !is_exact, "{}: {at} was accepted", self.tag);
                }
            }
            if !is_outlier {
                self.placed.insert(at);
            }
        }
        self.check();
        if self.random.below(4) == 0 {
            self.wake();
        }
    }

    fn is_exact(&self) -> bool {
        !self.peer.has_merged_gaps
    }

    /// The state in force is that of the ends; while there are gaps some members may be missing in it, and nothing else.
    fn check(&self) {
        let room = &self.peer.world.room;
        let is = self.peer.state();
        assert_eq!(room.joined_count, self.joined(&is), "{}", self.tag);
        if !self.is_exact() {
            return;
        }
        let ends = self.peer.ends();
        let ends: Vec<_> = ends.iter().map(|id| self.oracle.number(id)).collect();
        let mut should = self.oracle.resolved(&ends);
        if room.partial().is_some() {
            should.retain(|key, _| key.0 != TimelineEventType::RoomMember || is.contains_key(key));
        }
        let tag = format!("{}, ends {ends:?}", self.tag);
        self.compare(&should, &is, &tag);
    }

    /// How many are in the room by a state.
    fn joined(&self, state: &StateIds) -> u64 {
        let members = state
            .iter()
            .filter(|(key, _)| key.0 == TimelineEventType::RoomMember);
        let joined = members.filter(|(_, id)| {
            let pdu = &self.oracle.nodes[self.oracle.number(id)].pdu;
            let content = pdu.content_as::<Value>().unwrap();
            content["membership"] == "join"
        });
        joined.count() as u64
    }

    fn compare(&self, should: &StateIds, is: &StateIds, tag: &str) {
        let (should, is) = (told(self.oracle, should), told(self.oracle, is));
        assert_eq!(should, is, "{tag}: what should be, what is");
    }

    /// The server starts again: its log, and its snapshot, tell the same.
    fn wake(&mut self) {
        let (ends, state) = (self.peer.ends(), self.peer.state());
        for woken in [self.peer.world.replayed(), self.peer.world.restored()] {
            let slept = std::mem::replace(&mut self.peer.world.room, woken);
            let room = &self.peer.world.room;
            assert_eq!(self.peer.ends(), ends, "{}", self.tag);
            assert_eq!(room.current_id, slept.current_id, "{}", self.tag);
            assert_eq!(room.partial(), slept.partial(), "{}", self.tag);
            assert_eq!(room.gaps, slept.gaps, "{}", self.tag);
            self.compare(&state, &self.peer.state(), &self.tag);
            self.check();
        }
    }

    /// Everything has come: each event has the state before it that it should have.
    fn finish(&self) {
        let last = self.oracle.nodes.last().unwrap();
        let ends = std::slice::from_ref(&last.pdu.event_id);
        assert_eq!(self.peer.ends(), ends, "{}", self.tag);
        self.compare(&last.after, &self.peer.state(), &self.tag);
        for at in &self.placed {
            let node = &self.oracle.nodes[*at];
            let before = self.peer.state_before(&node.pdu.event_id);
            let tag = format!("{}, before {at}", self.tag);
            self.compare(&node.before, &before, &tag);
        }
    }
}

/// A history, and the event by which somebody comes in.
fn history(seed: u64) -> (Oracle, usize) {
    let version = VERSIONS[Random::new(seed).below(VERSIONS.len())].clone();
    let mut oracle = Oracle::new(seed, version, seed.is_multiple_of(SIGNED));
    for _ in 0..BEFORE {
        oracle.happen();
    }
    let allowed = |at: &usize| !oracle.nodes[*at].pdu.rejected;
    let arrival = (4..oracle.nodes.len()).rev().find(allowed).unwrap_or(3);
    let mut prev = arrival;
    for _ in 0..LINE {
        oracle.happen_after(&[prev]);
        prev = oracle.nodes.len() - 1;
    }
    for _ in 0..AFTERWARDS {
        oracle.happen();
    }
    oracle.conclude();
    (oracle, arrival)
}

/// Has a server come in and hear the rest; answers whether it could be held to the rules, and whether the state at the end is right.
fn check(seed: u64, when: When) -> (bool, bool) {
    let (oracle, arrival) = history(seed);
    let mut guest = Guest {
        peer: Peer::of(&oracle),
        arrival,
        placed: BTreeSet::new(),
        random: Random::new(seed),
        tag: format!("seed {seed}, version {}, {when:?}", oracle.version),
        oracle: &oracle,
    };
    guest.follow(when);
    guest.wake();
    if guest.is_exact() {
        guest.finish();
    }
    let last = oracle.nodes.last().unwrap();
    (guest.is_exact(), guest.peer.state() == last.after)
}

/// `PLAYHOUSE_TEST_LEAN` asks for more histories, `PLAYHOUSE_TEST_LEAN_SEED` for other ones.
#[test]
fn members_that_come_later_are_as_if_they_had_been_there() {
    let wanted = setting("PLAYHOUSE_TEST_LEAN").unwrap_or(HISTORIES);
    let first = setting("PLAYHOUSE_TEST_LEAN_SEED").unwrap_or(1);
    let (mut exact, mut right) = (0, 0);
    for seed in first..first + wanted {
        let when = WHEN[(seed % 4) as usize];
        let (is_exact, is_right) = check(seed, when);
        assert!(is_exact || when != When::AtOnce, "seed {seed}");
        exact += u64::from(is_exact);
        right += u64::from(is_right);
    }
    println!("{wanted} histories, of {exact} all is asserted, {right} end in the right state");
    let too_few = wanted >= HISTORIES && exact * 4 < wanted;
    assert!(!too_few, "{exact} of {wanted}");
}
