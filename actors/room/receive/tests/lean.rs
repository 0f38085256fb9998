//! Somebody comes into a room of which not all members are told, hears what happens, and learns of the members later.
//!
//! What is asserted is exact as long as no states were resolved while members were missing in them. Such a resolution may take up members out of auth chains,
//! and it stands when the members are known: of that only what restarts make of it is asserted.

use playhouse_schema::record::room::Placement;
use ruma::{ServerName, events::TimelineEventType};
use serde_json::Value;

use super::{
    super::{Memory, Occasion, ReceivedEvent, Role},
    history::Oracle,
    listener::{Listener, history_of, setting},
};
use crate::room::resolve::StateIds;

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
    listener: Listener<'a>,
    /// The event by which it comes in.
    arrival: usize,
}

impl Guest<'_> {
    fn follow(&mut self, when: When) {
        let newest = self.listener.oracle.nodes.len();
        let first = self.arrival + 1;
        let moment = match when {
            When::AtOnce => first,
            When::InTheLine => first + 1 + self.listener.random.below(LINE),
            When::Sometime => first + self.listener.random.below(newest - first),
            When::AtTheEnd => newest,
        };
        self.arrive();
        let mut open: Vec<usize> = (first..newest).collect();
        loop {
            let ready = self.ready(&open, moment);
            if ready.is_empty() {
                break;
            }
            let length = 1 + self.listener.random.below(6);
            self.bring(&ready[..length.min(ready.len())]);
            open.retain(|at| !self.listener.placed.contains(at));
        }
        self.complete();
        for at in open {
            for prev in self.listener.oracle.prev(at) {
                if !self.listener.placed.contains(prev) {
                    let events = self.listener.oracle.given(*prev, Placement::Backfilled);
                    self.receive(events, &Occasion::News);
                }
            }
            self.bring(&[at]);
        }
    }

    fn arrive(&mut self) {
        let servers = ["a", "b", "c"].map(|name| ServerName::parse(name).unwrap());
        let occasion = Occasion::PartialArrival(servers.to_vec());
        self.receive(self.listener.oracle.given_lean(self.arrival), &occasion);
        let join = &self.listener.oracle.nodes[self.arrival].pdu.event_id;
        let partial = self
            .listener
            .peer
            .world
            .room
            .partial()
            .expect("it has gaps");
        assert_eq!(partial.join, *join, "{}", self.listener.tag);
        assert_eq!(partial.servers, servers, "{}", self.listener.tag);
    }

    /// What follows on the arrival alone, and may come now: nothing before that can be bridged while there are gaps. Some of it waits.
    fn ready(&mut self, open: &[usize], moment: usize) -> Vec<usize> {
        let (mut known, mut ready) = (self.listener.placed.clone(), Vec::new());
        for at in open.iter().copied().filter(|at| *at < moment) {
            let mut prev = self.listener.oracle.prev(at).iter();
            // The first that may come does not wait.
            let waits = !ready.is_empty() && self.listener.random.below(4) == 0;
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
                if attempt > 0 || self.listener.random.below(2) == 0 {
                    events.extend(self.listener.oracle.outliers(*at, &[]));
                }
                events.push(self.listener.oracle.event(*at, Role::Next));
            }
            self.receive(events, &Occasion::News);
            if list.iter().all(|at| self.listener.placed.contains(at)) {
                return;
            }
        }
        panic!("{}: {list:?} have no place", self.listener.tag);
    }

    fn complete(&mut self) {
        let mut events = self.listener.oracle.given(self.arrival, Placement::Live);
        let Some(Role::Given { state, .. }) = events.pop().map(|event| event.role) else {
            panic!("the event comes last");
        };
        let join = self.listener.oracle.nodes[self.arrival]
            .pdu
            .event_id
            .clone();
        // Meanwhile the members may have come already, as outliers.
        if self.listener.random.below(2) == 0 {
            let early = events.split_off(self.listener.random.below(events.len()));
            let early = std::mem::replace(&mut events, early);
            self.receive(early, &Occasion::News);
        }
        self.receive(events, &Occasion::Completion { join, state });
        assert!(
            self.listener.peer.world.room.partial().is_none(),
            "{}",
            self.listener.tag
        );
    }

    fn receive(&mut self, events: Vec<ReceivedEvent>, occasion: &Occasion) {
        self.listener.hear(events, occasion);
        self.check();
        if self.listener.random.below(4) == 0 {
            self.wake();
        }
    }

    /// The state in force is that of the ends; while there are gaps some members may be missing in it, and nothing else.
    fn check(&self) {
        let room = &self.listener.peer.world.room;
        let is = self.listener.peer.state();
        assert_eq!(room.joined_count, self.joined(&is), "{}", self.listener.tag);
        if !self.listener.is_exact() {
            return;
        }
        let ends = self.listener.ends();
        let mut should = self.listener.oracle.resolved(&ends);
        if room.partial().is_some() {
            should.retain(|key, _| key.0 != TimelineEventType::RoomMember || is.contains_key(key));
        }
        let tag = format!("{}, ends {ends:?}", self.listener.tag);
        self.listener.compare(&should, &is, &tag);
    }

    /// How many are in the room by a state.
    fn joined(&self, state: &StateIds) -> u64 {
        let members = state
            .iter()
            .filter(|(key, _)| key.0 == TimelineEventType::RoomMember);
        let joined = members.filter(|(_, id)| {
            let pdu = &self.listener.oracle.nodes[self.listener.oracle.number(id)].pdu;
            let content = pdu.content_as::<Value>().unwrap();
            content["membership"] == "join"
        });
        joined.count() as u64
    }

    /// The server starts again: its log, and its snapshot, tell the same.
    fn wake(&mut self) {
        let (ends, state) = (self.listener.peer.ends(), self.listener.peer.state());
        for woken in [
            self.listener.peer.world.replayed(),
            self.listener.peer.world.restored(),
        ] {
            let slept = std::mem::replace(&mut self.listener.peer.world.room, woken);
            self.listener.peer.memory = Memory::default();
            let room = &self.listener.peer.world.room;
            assert_eq!(self.listener.peer.ends(), ends, "{}", self.listener.tag);
            assert_eq!(room.current_id, slept.current_id, "{}", self.listener.tag);
            assert_eq!(room.partial(), slept.partial(), "{}", self.listener.tag);
            assert_eq!(room.gaps, slept.gaps, "{}", self.listener.tag);
            self.listener
                .compare(&state, &self.listener.peer.state(), &self.listener.tag);
            self.check();
        }
    }

    /// Everything has come: each event has the state before it that it should have.
    fn finish(&self) {
        let last = self.listener.oracle.nodes.last().unwrap();
        let ends = std::slice::from_ref(&last.pdu.event_id);
        assert_eq!(self.listener.peer.ends(), ends, "{}", self.listener.tag);
        self.listener
            .compare(&last.after, &self.listener.peer.state(), &self.listener.tag);
        for at in &self.listener.placed {
            let node = &self.listener.oracle.nodes[*at];
            let before = self.listener.peer.state_before(&node.pdu.event_id);
            let tag = format!("{}, before {at}", self.listener.tag);
            self.listener.compare(&node.before, &before, &tag);
        }
    }
}

/// A history, and the event by which somebody comes in.
fn history(seed: u64) -> (Oracle, usize) {
    let mut oracle = history_of(seed, SIGNED, BEFORE);
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
        listener: Listener::new(&oracle, (when, seed)),
        arrival,
    };
    guest.follow(when);
    guest.wake();
    if guest.listener.is_exact() {
        guest.finish();
    }
    let last = oracle.nodes.last().unwrap();
    (
        guest.listener.is_exact(),
        guest.listener.peer.state() == last.after,
    )
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
