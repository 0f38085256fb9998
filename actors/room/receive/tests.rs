//! Random histories with forks, received in different orders, against the rules applied from scratch.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use playhouse_schema::record::room::Placement;
use proptest::prelude::*;
use ruma::{
    EventId, OwnedEventId, RoomVersionId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
    },
};
use serde_json::{Value, json};

use super::{CheckedPdu, Fate, Fates, ReceivedEvent, Role, take_in, weigh::Weighing};
use crate::room::{
    pdu::Pdu,
    query::{history::History, tests::World},
    resolve::{self, StateIds},
    state::StateKey,
};

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// A server that receives.
struct Peer(World);

impl Peer {
    fn new() -> Self {
        Self(World::empty())
    }

    fn receive(&mut self, events: Vec<ReceivedEvent>) -> Fates {
        let world = &mut self.0;
        let room = Arc::new(world.room.clone());
        let history = History::new(room, world.next() - 1, world.archive());
        let mut weighing = Weighing::new(history, Some(&RoomVersionId::V10)).unwrap();
        let mut fates = Fates::new();
        for event in events {
            let event_id = event.pdu.event_id.clone();
            let fate = weighing.weigh(event).now_or_never();
            fates.push((event_id, fate.expect("the log answers at once").unwrap()));
        }
        if let Some(take) = weighing.finish() {
            let decision = take_in(&world.room, take).expect("nothing happens in between");
            if let Some(prepare) = decision.prepare {
                prepare(&mut world.room);
            }
            for record in &decision.records {
                world.write(record);
            }
        }
        assert!(world.room.absent.is_empty());
        world.room.tidy_up();
        fates
    }

    /// The state before an event, which depends neither on what this server has shown nor on what came first.
    fn state_before(&self, event_id: &EventId) -> StateIds {
        let room = Arc::new(self.0.room.clone());
        let history = History::new(room, self.0.next() - 1, self.0.archive());
        let mut weighing = Weighing::new(history, None).unwrap();
        let event = weighing.find(event_id).now_or_never().unwrap().unwrap();
        let before = event.expect("it was received").before;
        let state = weighing.state(before).now_or_never().unwrap().unwrap();
        resolve::ids_of(&state)
    }

    fn state(&self) -> StateIds {
        resolve::ids_of(&self.0.room.current)
    }
}

/// An event of the history that is made up.
struct Node {
    pdu: Pdu,
    after: StateIds,
}

/// A history by the rules applied from scratch.
struct Oracle {
    rules: RoomVersionRules,
    nodes: Vec<Node>,
    by_id: BTreeMap<OwnedEventId, usize>,
    seed: u64,
}

impl Oracle {
    fn new(seed: u64) -> Self {
        let mut oracle = Self {
            rules: RoomVersionId::V10.rules().unwrap(),
            nodes: Vec::new(),
            by_id: BTreeMap::new(),
            seed: seed | 1,
        };
        let create = json!({"room_version": "10", "creator": "@alice:x"});
        oracle.add(&[], "alice", ("m.room.create", Some("")), create);
        let join = json!({"membership": "join"});
        oracle.add(&[0], "alice", ("m.room.member", Some("@alice:x")), join);
        let power = json!({"users": {"@alice:x": 100, "@bob:x": 50}});
        oracle.add(&[1], "alice", ("m.room.power_levels", Some("")), power);
        let rule = json!({"join_rule": "public"});
        oracle.add(&[2], "alice", ("m.room.join_rules", Some("")), rule);
        oracle
    }

    fn random(&mut self, below: usize) -> usize {
        // xorshift64: the same history for the same seed.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % below as u64) as usize
    }

    fn before(&self, prev: &[usize]) -> StateIds {
        let states: Vec<_> = prev
            .iter()
            .map(|at| self.nodes[*at].after.clone())
            .collect();
        let fetch = |id: &EventId| self.by_id.get(id).map(|at| &self.nodes[*at].pdu);
        resolve::resolve(&self.rules, &states, &fetch).unwrap()
    }

    /// Adds an event, allowed or not.
    fn add(
        &mut self,
        prev: &[usize],
        sender: &str,
        (event_type, state_key): (&str, Option<&str>),
        content: Value,
    ) {
        let before = self.before(prev);
        let number = self.nodes.len();
        let depth = prev.iter().map(|at| self.nodes[*at].pdu.depth).max();
        let event_id = EventId::parse(format!("$n{number:04}")).unwrap();
        let sender = format!("@{sender}:x");
        let raw = serde_json::value::to_raw_value(&content).unwrap();
        let keys = auth_types_for_event(
            &event_type.into(),
            <&ruma::UserId>::try_from(&*sender).unwrap(),
            state_key,
            &raw,
            &self.rules.authorization,
        )
        .unwrap();
        let keys = keys.into_iter().map(|(event_type, state_key)| -> StateKey {
            (event_type.to_string().into(), state_key)
        });
        let auth: Vec<_> = keys.filter_map(|key| before.get(&key)).collect();
        let prev_ids: Vec<_> = prev
            .iter()
            .map(|at| &self.nodes[*at].pdu.event_id)
            .collect();
        let mut pdu = json!({
            "room_id": "!room:x", "sender": sender, "type": event_type, "content": content,
            "origin_server_ts": 1_000 + number * 3 % 50, "depth": depth.unwrap_or(0) + 1,
            "prev_events": prev_ids, "auth_events": auth,
        });
        if let Some(state_key) = state_key {
            pdu["state_key"] = state_key.into();
        }
        let mut pdu = Pdu::parse(event_id.clone(), Bytes::from(pdu.to_string())).unwrap();
        pdu.rejected = !self.is_allowed(&pdu, &before);
        let mut after = before;
        if let Some(state_key) = &pdu.state_key
            && !pdu.rejected
        {
            let key = (pdu.event_type.clone(), state_key.clone());
            after.insert(key, event_id.clone());
        }
        self.by_id.insert(event_id, number);
        self.nodes.push(Node { pdu, after });
    }

    fn is_allowed(&self, pdu: &Pdu, before: &StateIds) -> bool {
        let fetch = |id: &EventId| self.by_id.get(id).map(|at| &self.nodes[*at].pdu);
        let by_auth = |event_type: &StateEventType, state_key: &str| {
            let event_type = TimelineEventType::from(event_type.to_string());
            pdu.auth_events
                .iter()
                .filter_map(|id| fetch(id))
                .find(|event| {
                    event.event_type == event_type && event.state_key.as_deref() == Some(state_key)
                })
        };
        let by_state = |event_type: &StateEventType, state_key: &str| {
            let key = (event_type.to_string().into(), state_key.to_owned());
            before.get(&key).and_then(|id| fetch(id))
        };
        let rules = &self.rules.authorization;
        pdu.event_type == TimelineEventType::RoomCreate
            || (check_state_independent_auth_rules(rules, pdu, fetch).is_ok()
                && check_state_dependent_auth_rules(rules, pdu, by_auth).is_ok()
                && check_state_dependent_auth_rules(rules, pdu, by_state).is_ok())
    }

    /// Something happens somewhere in the graph.
    fn happen(&mut self) {
        let newest = self.nodes.len();
        let mut prev = BTreeSet::new();
        for _ in 0..=self.random(3) {
            let back = self.random(newest.clamp(1, 8));
            // Nobody builds on the create event alone.
            prev.insert((newest - 1 - back).max(3));
        }
        let prev: Vec<_> = prev.into_iter().collect();
        let sender = USERS[self.random(4)];
        let target = USERS[self.random(4)];
        let target_id = format!("@{target}:x");
        let level = [0, 50, 100][self.random(3)];
        let own = format!("@{sender}:x");
        let (event_type, key, content) = match self.random(9) {
            0..=2 => ("m.room.member", Some(own), json!({"membership": "join"})),
            3 => (
                "m.room.member",
                Some(target_id),
                json!({"membership": "ban"}),
            ),
            4 => (
                "m.room.member",
                Some(target_id),
                json!({"membership": "leave"}),
            ),
            5 => {
                let users = json!({"@alice:x": 100, "@bob:x": 50, (&target_id): level});
                let content = json!({"users": users});
                ("m.room.power_levels", Some(String::new()), content)
            }
            6 => {
                let rule = ["public", "invite"][self.random(2)];
                (
                    "m.room.join_rules",
                    Some(String::new()),
                    json!({"join_rule": rule}),
                )
            }
            7 => (
                "m.room.topic",
                Some(String::new()),
                json!({"topic": newest}),
            ),
            _ => ("m.room.message", None, json!({"body": newest})),
        };
        self.add(&prev, sender, (event_type, key.as_deref()), content);
    }

    /// An event that has seen everything.
    fn conclude(&mut self) {
        let named: BTreeSet<_> = self
            .nodes
            .iter()
            .flat_map(|node| &node.pdu.prev_events)
            .collect();
        let ends = self.nodes.iter().enumerate();
        let ends: Vec<_> = ends
            .filter(|(_, node)| !named.contains(&node.pdu.event_id))
            .map(|(at, _)| at)
            .collect();
        self.add(
            &ends,
            "alice",
            ("m.room.message", None),
            json!({"body": "end"}),
        );
    }

    fn event(&self, at: usize, role: Role) -> ReceivedEvent {
        let pdu = &self.nodes[at].pdu;
        ReceivedEvent {
            pdu: CheckedPdu {
                event_id: pdu.event_id.clone(),
                json: pdu.json().clone(),
            },
            role,
        }
    }

    fn first(&self) -> ReceivedEvent {
        let placement = Placement::Live;
        let state = Vec::new();
        self.event(0, Role::Given { state, placement })
    }
}

/// Delivers everything in a random order and in lists of random length; what wants something is offered again.
fn deliver(oracle: &Oracle, seed: u64) -> Peer {
    let mut peer = Peer::new();
    peer.receive(vec![oracle.first()]);
    let mut random = Oracle::new(seed);
    let mut open: Vec<usize> = (1..oracle.nodes.len()).collect();
    while !open.is_empty() {
        // Mostly in order, with some left for later.
        let mut list: Vec<usize> = Vec::new();
        for at in &open {
            if list.len() < 1 + random.random(12) && random.random(4) > 0 {
                list.push(*at);
            }
        }
        let events = list
            .iter()
            .map(|at| oracle.event(*at, Role::Next))
            .collect();
        let fates = peer.receive(events);
        for (at, (_, fate)) in list.iter().zip(fates) {
            let rejected = oracle.nodes[*at].pdu.rejected;
            match fate {
                Fate::Wanting { .. } => continue,
                Fate::Rejected(reason) => assert!(rejected, "{at}: {reason}"),
                Fate::Known => panic!("{at} was never told"),
                Fate::Accepted | Fate::SoftFailed(_) => assert!(!rejected, "{at}"),
            }
            open.retain(|other| other != at);
        }
    }
    peer
}

fn check(seed: u64, events: usize) {
    let mut oracle = Oracle::new(seed);
    for _ in 0..events {
        oracle.happen();
    }
    oracle.conclude();
    let last = oracle.nodes.last().unwrap();
    for order in 1..=3 {
        let peer = deliver(&oracle, seed.wrapping_add(order * 7_919));
        let before = peer.state_before(&last.pdu.event_id);
        assert_eq!(before, last.after, "seed {seed}, order {order}");
    }
}

#[test]
fn a_line_is_received_as_it_is() {
    let mut oracle = Oracle::new(1);
    let join = json!({"membership": "join"});
    oracle.add(&[3], "bob", ("m.room.member", Some("@bob:x")), join);
    oracle.add(
        &[4],
        "bob",
        ("m.room.message", None),
        json!({"body": "hello"}),
    );
    let banned = json!({"membership": "ban"});
    oracle.add(&[5], "bob", ("m.room.member", Some("@alice:x")), banned);
    let mut peer = Peer::new();
    let events = (1..oracle.nodes.len()).map(|at| oracle.event(at, Role::Next));
    let all: Vec<_> = std::iter::once(oracle.first()).chain(events).collect();
    let fates = peer.receive(all.clone());
    for (_, fate) in &fates[..6] {
        assert_eq!(*fate, Fate::Accepted);
    }
    assert!(matches!(fates[6].1, Fate::Rejected(_)), "{fates:?}");
    assert_eq!(peer.state(), oracle.nodes[6].after);
    let ends = &peer.0.room.extremities;
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].event_id, oracle.nodes[5].pdu.event_id);
    for (_, fate) in peer.receive(all) {
        assert_eq!(fate, Fate::Known);
    }
}

#[test]
fn what_is_missing_is_named() {
    let mut oracle = Oracle::new(1);
    let join = json!({"membership": "join"});
    oracle.add(&[3], "bob", ("m.room.member", Some("@bob:x")), join);
    oracle.add(
        &[4],
        "bob",
        ("m.room.message", None),
        json!({"body": "hello"}),
    );
    let mut peer = Peer::new();
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
    let mut oracle = Oracle::new(3);
    for _ in 0..40 {
        oracle.happen();
    }
    oracle.conclude();
    let join = json!({"membership": "join"});
    oracle.add(
        &[oracle.nodes.len() - 1],
        "alice",
        ("m.room.member", Some("@alice:x")),
        join,
    );
    let last = oracle.nodes.len() - 1;
    let before = oracle.nodes[last - 1].after.clone();
    let fetch = |id: &EventId| oracle.by_id.get(id).map(|at| &oracle.nodes[*at].pdu);
    let mut needed = resolve::auth_chain(before.values(), &fetch);
    needed.extend(before.values().cloned());
    let mut events: Vec<_> = (0..last)
        .filter(|at| needed.contains(&oracle.nodes[*at].pdu.event_id))
        .map(|at| oracle.event(at, Role::Outlier))
        .collect();
    let state = before.values().cloned().collect();
    let placement = Placement::Live;
    events.push(oracle.event(last, Role::Given { state, placement }));
    let mut peer = Peer::new();
    let fates = peer.receive(events);
    assert_eq!(fates.last().unwrap().1, Fate::Accepted, "{fates:?}");
    assert_eq!(peer.state(), oracle.nodes[last].after);
    assert_eq!(peer.0.room.version, Some(RoomVersionId::V10));
}

/// So many histories; `PLAYHOUSE_TEST_FORKS` asks for more.
fn histories() -> u32 {
    let wanted = option_env!("PLAYHOUSE_TEST_FORKS");
    wanted.and_then(|text| text.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(histories()))]

    #[test]
    fn every_order_ends_in_the_same_state(seed in any::<u64>()) {
        check(seed, 40);
    }
}
