//! Random histories with forks, received by several servers in different orders and through different ways, against the rules applied from scratch.

use std::collections::BTreeSet;

use playhouse_schema::record::room::Placement;
use ruma::OwnedEventId;

use super::{
    super::{Memory, Occasion, ReceivedEvent, Role},
    listener::{Listener, history_of, setting},
};

/// So many forks are looked at by default.
const FORKS: u64 = 240;

/// So many things happen in a history.
const EVENTS: usize = 36;

/// One history in so many is signed and checked: unoptimised, signatures take most of the time.
const SIGNED: u64 = 8;

/// So many events `get_missing_events` brings.
const MISSING_MAX: usize = 12;

/// How a server comes by the events.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// One transaction after the other, in order.
    InOrder,
    /// Out of order; what is missing comes later by itself.
    Scattered,
    /// Out of order; what is missing is asked for.
    Asking,
    /// The server comes in late; what happened before is fetched, or brought by others.
    Late,
}

impl Listener<'_> {
    fn follow(&mut self, way: Way) {
        let newest = self.oracle.nodes.len();
        let first = match way {
            Way::Late => {
                let allowed = |at: &usize| !self.oracle.nodes[*at].pdu.rejected;
                let middle = 4 + self.random.below(newest - 6);
                let at = (4..=middle).rev().find(allowed).unwrap_or(3);
                self.receive(self.oracle.given(at, Placement::Live));
                at
            }
            _ => {
                self.receive(vec![self.oracle.first()]);
                0
            }
        };
        let mut open: Vec<usize> = (first + 1..newest).collect();
        let mut older: Vec<usize> = (0..first).collect();
        while !open.is_empty() {
            let list = self.some_of(way, &open);
            self.bring(way, &list);
            open.retain(|at| !self.placed.contains(at));
            if way == Way::Late && self.random.below(3) == 0 {
                self.look_back(&mut older);
            }
            if self.random.below(12) == 0 {
                self.wake();
            }
        }
    }

    /// The next list of events: in order, or mostly so with some left for later.
    fn some_of(&mut self, way: Way, open: &[usize]) -> Vec<usize> {
        let length = 1 + self.random.below(10);
        if way == Way::InOrder {
            return open.iter().copied().take(length).collect();
        }
        let mut list = Vec::new();
        for at in open {
            if list.len() < length && self.random.below(4) > 0 {
                list.push(*at);
            }
        }
        list
    }

    /// Brings a list, with what it lacks as far as somebody asks for it.
    fn bring(&mut self, way: Way, list: &[usize]) {
        let mut list = list.to_vec();
        for _ in 0..8 {
            let events = list.iter().map(|at| self.oracle.event(*at, Role::Next));
            self.receive(events.collect());
            list.retain(|at| !self.placed.contains(at));
            if list.is_empty() || matches!(way, Way::InOrder | Way::Scattered) {
                break;
            }
            if self.random.below(2) == 0 {
                let mut between = self.between(&list);
                between.extend(std::mem::take(&mut list));
                list = between;
            } else {
                self.bridge(&list);
            }
        }
    }

    /// What `get_missing_events` answers: events before these that are not known, the newest of them.
    fn between(&self, latest: &[usize]) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut open: BTreeSet<usize> = latest.iter().copied().collect();
        while let Some(at) = open.pop_last() {
            for prev in self.oracle.prev(at) {
                let is_new = !self.placed.contains(prev) && !latest.contains(prev);
                if is_new && found.len() < MISSING_MAX && found.insert(*prev) {
                    open.insert(*prev);
                }
            }
        }
        found.into_iter().collect()
    }

    /// Takes a predecessor that is not known with the state before it.
    fn bridge(&mut self, list: &[usize]) {
        let prev = list.iter().flat_map(|at| self.oracle.prev(*at));
        let missing = prev.filter(|at| !self.placed.contains(at) && !list.contains(at));
        if let Some(at) = missing.copied().next() {
            self.receive(self.oracle.given(at, Placement::Backfilled));
        }
    }

    /// Takes some of what is older as history, or as news that somebody brings.
    fn look_back(&mut self, older: &mut Vec<usize>) {
        let Some(at) = older.pop() else {
            return;
        };
        let events = if self.random.below(2) == 0 {
            self.oracle.given(at, Placement::Backfilled)
        } else {
            vec![self.oracle.event(at, Role::Next)]
        };
        self.receive(events);
    }

    fn receive(&mut self, events: Vec<ReceivedEvent>) {
        self.hear(events, &Occasion::News);
        if self.random.below(3) == 0 {
            self.check();
        }
    }

    /// The state in force is that of the ends, and the ends are ends.
    fn check(&self) {
        let ends = self.ends();
        let tag = format!("{}, ends {ends:?}", self.tag);
        self.compare(&self.oracle.resolved(&ends), &self.peer.state(), &tag);
        for one in &ends {
            for other in &ends {
                let precedes = self.oracle.precedes(*one, *other, &self.placed);
                assert!(!precedes, "{tag}: {one} lies before {other}");
            }
        }
    }

    /// The server starts again: its log, and its snapshot, tell the same.
    fn wake(&mut self) {
        for woken in [self.peer.world.replayed(), self.peer.world.restored()] {
            let ends = |room: &crate::room::Room| -> Vec<OwnedEventId> {
                let ends = room.extremities.iter();
                ends.map(|end| end.event_id.clone()).collect()
            };
            assert_eq!(ends(&woken), self.peer.ends(), "{}", self.tag);
            assert_eq!(woken.current_id, self.peer.world.room.current_id);
            self.peer.world.room = woken;
            self.peer.memory = Memory::default();
            self.check();
        }
    }
}

/// Has all servers hear a history; answers how many forks it has.
fn check(seed: u64) -> u64 {
    let mut oracle = history_of(seed, SIGNED, EVENTS);
    oracle.conclude();
    let last = oracle.nodes.last().unwrap();
    assert!(!last.pdu.rejected, "seed {seed}");
    let ways = [Way::InOrder, Way::Scattered, Way::Asking, Way::Late];
    for way in ways {
        let mut listener = Listener::new(&oracle, (way, seed));
        listener.follow(way);
        let before = listener.peer.state_before(&last.pdu.event_id);
        listener.compare(&last.before, &before, &listener.tag);
        listener.compare(&last.after, &listener.peer.state(), &listener.tag);
        assert_eq!(
            listener.peer.ends(),
            std::slice::from_ref(&last.pdu.event_id),
            "{}",
            listener.tag
        );
    }
    oracle.forks()
}

/// So many forks are looked at: `PLAYHOUSE_TEST_FORKS` asks for more, `PLAYHOUSE_TEST_FORKS_SEED` for other ones.
#[test]
fn every_way_ends_in_the_same_state() {
    let wanted = setting("PLAYHOUSE_TEST_FORKS").unwrap_or(FORKS);
    let first = setting("PLAYHOUSE_TEST_FORKS_SEED").unwrap_or(1);
    let (mut seed, mut forks) = (first, 0);
    while forks < wanted {
        forks += check(seed);
        seed += 1;
    }
    println!("{forks} forks in {} histories", seed - first);
}
