//! Made-up histories of a room: users of three servers who speak, quarrel and fork the room's graph, judged by the rules applied from scratch.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use playhouse_schema::record::room::Placement;
use ruma::{
    CanonicalJsonObject, EventId, OwnedEventId, OwnedRoomId, RoomId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, add_content_hash_to_event, reference_hash, sign_event},
    state_res::{
        auth_types_for_event, check_state_dependent_auth_rules, check_state_independent_auth_rules,
    },
};
use serde_json::{Map, Value, json};

use crate::{
    env::Signer,
    network::KeysWanted,
    room::{
        pdu::Pdu,
        receive::{CheckedPdu, ReceivedEvent, Role, check::RawPdu},
        resolve::{self, StateIds},
        state::StateKey,
    },
};

/// Who is about. The first makes the room and stays in it.
const USERS: [&str; 5] = ["@alice:a", "@bob:b", "@carol:c", "@dave:a", "@erin:b"];

/// So many predecessors the last events name at most.
const ENDS_JOINED: usize = 10;

/// Numbers that look random: the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Near seeds are to differ, and none may be 0.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) % limit as u64) as usize
    }
}

/// An event of the history.
pub(super) struct Node {
    pub(super) pdu: Pdu,
    /// The state after it.
    pub(super) after: StateIds,
    /// The state before it.
    pub(super) before: StateIds,
    prev: Vec<usize>,
}

/// Somebody does something.
struct Deed<'a> {
    prev: &'a [usize],
    sender: &'a str,
    event_type: &'a str,
    state_key: Option<&'a str>,
    content: Value,
}

/// A history by the rules applied from scratch.
pub(super) struct Oracle {
    pub(super) version: RoomVersionId,
    pub(super) room_id: OwnedRoomId,
    pub(super) nodes: Vec<Node>,
    rules: RoomVersionRules,
    by_id: BTreeMap<OwnedEventId, usize>,
    random: Random,
    /// Whose events are signed and checked; nobody's where time matters more.
    signers: BTreeMap<&'static str, Signer>,
}

impl Oracle {
    /// A room of its creator, open to all.
    pub(super) fn new(seed: u64, version: RoomVersionId, signed: bool) -> Self {
        let signers = ["a", "b", "c"].into_iter().zip(1..);
        let signers = signers.map(|(server, key)| (server, Signer::from_seed("1", &[key; 32])));
        let mut oracle = Self {
            rules: version.rules().unwrap(),
            room_id: RoomId::parse("!room:a").unwrap(),
            version,
            nodes: Vec::new(),
            by_id: BTreeMap::new(),
            random: Random::new(seed),
            signers: signers
                .filter(|_| signed)
                .map(|(server, signer)| (server, signer.unwrap()))
                .collect(),
        };
        oracle.open();
        oracle
    }

    fn open(&mut self) {
        let mut create = json!({"room_version": self.version});
        if !self.rules.authorization.use_room_create_sender {
            create["creator"] = USERS[0].into();
        }
        let first = |event_type, state_key, content| (event_type, Some(state_key), content);
        let beginning = [
            first("m.room.create", "", create),
            first("m.room.member", USERS[0], json!({"membership": "join"})),
            first("m.room.power_levels", "", self.powers(Map::new())),
            first("m.room.join_rules", "", json!({"join_rule": "public"})),
        ];
        for (at, (event_type, state_key, content)) in beginning.into_iter().enumerate() {
            let prev: Vec<_> = at.checked_sub(1).into_iter().collect();
            self.add(&prev, USERS[0], (event_type, state_key), content);
        }
        assert!(self.nodes.iter().all(|node| !node.pdu.rejected));
    }

    /// Power levels with some users'; the creator keeps the highest.
    fn powers(&self, mut users: Map<String, Value>) -> Value {
        if self.rules.authorization.explicitly_privilege_room_creators {
            users.remove(USERS[0]);
        } else {
            users.insert(USERS[0].to_owned(), 100.into());
        }
        json!({"users": users, "events": {"m.room.topic": 0}, "state_default": 50, "invite": 0})
    }

    /// The state after some events, resolved from scratch.
    pub(super) fn resolved(&self, after: &[usize]) -> StateIds {
        let states = after.iter().map(|at| self.nodes[*at].after.clone());
        let states: Vec<_> = states.collect();
        resolve::resolve(&self.rules, &states, &|id: &EventId| self.fetch(id)).unwrap()
    }

    fn fetch(&self, event_id: &EventId) -> Option<&Pdu> {
        self.by_id.get(event_id).map(|at| &self.nodes[*at].pdu)
    }

    /// The number of an event.
    pub(super) fn number(&self, event_id: &EventId) -> usize {
        self.by_id[event_id]
    }

    /// Adds an event, allowed or not.
    pub(super) fn add(
        &mut self,
        prev: &[usize],
        sender: &str,
        (event_type, state_key): (&str, Option<&str>),
        content: Value,
    ) {
        let deed = Deed {
            prev,
            sender,
            event_type,
            state_key,
            content,
        };
        let (object, before) = self.drafted(&deed);
        self.enter(prev, object, before);
    }

    /// The event as it would be, and the state before it.
    fn drafted(&mut self, deed: &Deed<'_>) -> (Value, StateIds) {
        let before = self.resolved(deed.prev);
        let raw = serde_json::value::to_raw_value(&deed.content).unwrap();
        let keys = auth_types_for_event(
            &deed.event_type.into(),
            <&UserId>::try_from(deed.sender).unwrap(),
            deed.state_key,
            &raw,
            &self.rules.authorization,
        );
        let keys = keys.unwrap().into_iter();
        let keys = keys.map(|(event_type, state_key)| -> StateKey {
            (event_type.to_string().into(), state_key)
        });
        let auth: Vec<_> = keys.filter_map(|key| before.get(&key)).collect();
        let prev = deed.prev.iter().map(|at| &self.nodes[*at].pdu);
        let depth = prev.clone().map(|pdu| pdu.depth).max().unwrap_or(0);
        let prev: Vec<_> = prev.map(|pdu| &pdu.event_id).collect();
        // Clocks go wrong.
        let skew = [0, 0, 7_500, 400_000][self.random.below(4)];
        let sent_ms = 2_000_000 + self.nodes.len() * 1_000 - self.random.below(skew + 1);
        let mut event = json!({
            "sender": deed.sender, "type": deed.event_type, "content": deed.content, "origin_server_ts": sent_ms,
            "depth": depth + 1, "prev_events": self.links(&prev), "auth_events": self.links(&auth),
        });
        let is_create = deed.event_type == "m.room.create";
        if !(is_create && self.rules.authorization.room_create_event_id_as_room_id) {
            event["room_id"] = self.room_id.as_str().into();
        }
        if let Some(state_key) = deed.state_key {
            event["state_key"] = state_key.into();
        }
        if self.rules.event_id_format == EventIdFormatVersion::V1 {
            let server = <&UserId>::try_from(deed.sender).unwrap().server_name();
            event["event_id"] = format!("$n{:04}:{server}", self.nodes.len()).into();
        }
        (event, before)
    }

    fn links(&self, event_ids: &[&OwnedEventId]) -> Value {
        if self.rules.events_reference_format == EventsReferenceFormatVersion::V1 {
            let pair = |id: &&OwnedEventId| json!([id, {"sha256": "bm90aGluZw"}]);
            return event_ids.iter().map(pair).collect();
        }
        json!(event_ids)
    }

    /// Takes an event into the history.
    fn enter(&mut self, prev: &[usize], event: Value, before: StateIds) {
        let mut pdu = self.made(event);
        pdu.rejected = !self.is_allowed(&pdu, &before);
        let mut after = before.clone();
        if let Some(state_key) = &pdu.state_key
            && !pdu.rejected
        {
            let key = (pdu.event_type.clone(), state_key.clone());
            after.insert(key, pdu.event_id.clone());
        }
        self.by_id.insert(pdu.event_id.clone(), self.nodes.len());
        self.nodes.push(Node {
            pdu,
            after,
            before,
            prev: prev.to_vec(),
        });
    }

    /// The event hashed, signed and checked.
    fn made(&mut self, event: Value) -> Pdu {
        let authoriser = event["content"]["join_authorised_via_users_server"].as_str();
        let sender = event["sender"].as_str();
        let servers: BTreeSet<_> = [sender, authoriser]
            .into_iter()
            .flatten()
            .map(|user| user.split_once(':').unwrap().1.to_owned())
            .collect();
        let mut object: CanonicalJsonObject = serde_json::from_value(event).unwrap();
        add_content_hash_to_event(&mut object).unwrap();
        if object["type"].as_str() == Some("m.room.create") && !object.contains_key("room_id") {
            let hash = reference_hash(&object, &self.rules).unwrap();
            self.room_id = RoomId::parse(format!("!{hash}")).unwrap();
        }
        for server in servers {
            if let Some(signer) = self.signers.get(&*server) {
                sign_event(&server, signer, &mut object, &self.rules.redaction).unwrap();
            }
        }
        let text = serde_json::to_string(&object).unwrap();
        let raw = RawPdu::read(&text, &self.rules).unwrap();
        if self.signers.is_empty() {
            return Pdu::parse(raw.event_id, Bytes::from(text)).unwrap();
        }
        let mut wanted = KeysWanted::new();
        raw.want_keys(&self.rules, &mut wanted).unwrap();
        let checked = raw.check(&self.room_id, &self.rules, &self.keys()).unwrap();
        assert_eq!(*checked.json(), text.as_bytes(), "it is whole");
        checked.into_pdu()
    }

    fn keys(&self) -> PublicKeyMap {
        let keys = self.signers.iter().map(|(server, signer)| {
            let key = Base64::<Standard>::new(signer.public_key().to_vec());
            let set = [(signer.key_id().to_string(), key)].into();
            ((*server).to_owned(), set)
        });
        keys.collect()
    }

    fn is_allowed(&self, pdu: &Pdu, before: &StateIds) -> bool {
        let by_auth = |event_type: &StateEventType, state_key: &str| {
            let event_type = TimelineEventType::from(event_type.to_string());
            let implied = before.get(&(TimelineEventType::RoomCreate, String::new()));
            let named = pdu.auth_events.iter().chain(implied);
            named.filter_map(|id| self.fetch(id)).find(|event| {
                event.event_type == event_type && event.state_key.as_deref() == Some(state_key)
            })
        };
        let by_state = |event_type: &StateEventType, state_key: &str| {
            let key = (event_type.to_string().into(), state_key.to_owned());
            before.get(&key).and_then(|id| self.fetch(id))
        };
        let rules = &self.rules.authorization;
        pdu.event_type == TimelineEventType::RoomCreate
            || (check_state_independent_auth_rules(rules, pdu, |id: &EventId| self.fetch(id))
                .is_ok()
                && check_state_dependent_auth_rules(rules, pdu, by_auth).is_ok()
                && check_state_dependent_auth_rules(rules, pdu, by_state).is_ok())
    }

    /// Something happens somewhere in the graph; mostly what is allowed there.
    pub(super) fn happen(&mut self) {
        let newest = self.nodes.len();
        let mut prev = BTreeSet::new();
        for _ in 0..=self.random.below(3) {
            let back = self.random.below(newest.clamp(1, 10));
            // Nobody builds on the create event alone.
            prev.insert((newest - 1 - back).max(3));
        }
        let prev: Vec<_> = prev.into_iter().collect();
        self.happen_after(&prev);
    }

    /// Something happens after these events; mostly what is allowed there.
    pub(super) fn happen_after(&mut self, prev: &[usize]) {
        for attempt in 0..6 {
            let sender = USERS[self.random.below(USERS.len())];
            let (event_type, state_key, content) = self.whim(sender, prev);
            let deed = Deed {
                prev,
                sender,
                event_type,
                state_key: state_key.as_deref(),
                content,
            };
            let (event, before) = self.drafted(&deed);
            let json = Bytes::from(event.to_string());
            let draft = Pdu::parse(EventId::parse("$draft:x").unwrap(), json).unwrap();
            if attempt == 5 || self.random.below(9) == 0 || self.is_allowed(&draft, &before) {
                return self.enter(prev, event, before);
            }
        }
    }

    /// What somebody might do.
    fn whim(&mut self, sender: &str, prev: &[usize]) -> (&'static str, Option<String>, Value) {
        let target = USERS[1 + self.random.below(USERS.len() - 1)];
        let member = |user: &str, membership: &str| {
            let content = json!({"membership": membership});
            ("m.room.member", Some(user.to_owned()), content)
        };
        let number = self.nodes.len();
        match self.random.below(14) {
            0..=2 => {
                let mut join = member(sender, "join");
                join.2["displayname"] = format!("{sender} {}", number % 3).into();
                let knows_restrictions = self.rules.authorization.restricted_join_rule;
                if knows_restrictions && self.random.below(3) == 0 && sender != USERS[0] {
                    join.2["join_authorised_via_users_server"] = USERS[0].into();
                }
                join
            }
            3 => member(target, "ban"),
            4 => member(target, "leave"),
            5 => member(target, "invite"),
            6 => member(target, "knock"),
            7 if sender != USERS[0] => member(sender, "leave"),
            7 | 8 => {
                let before = self.resolved(prev);
                let powers = before.get(&(TimelineEventType::RoomPowerLevels, String::new()));
                let powers = powers.and_then(|id| self.fetch(id)?.content_as::<Value>());
                let users = powers.and_then(|powers| powers["users"].as_object().cloned());
                let mut users = users.unwrap_or_default();
                let level = [0, 25, 50, 60, 100][self.random.below(5)];
                users.insert(target.to_owned(), level.into());
                let content = self.powers(users);
                ("m.room.power_levels", Some(String::new()), content)
            }
            9 => {
                let known = ["public", "invite", "knock", "restricted"];
                let rule = known[self.random.below(known.len())];
                let mut content = json!({"join_rule": rule});
                if rule == "restricted" {
                    content["allow"] =
                        json!([{"type": "m.room_membership", "room_id": "!other:a"}]);
                }
                ("m.room.join_rules", Some(String::new()), content)
            }
            10 | 11 => {
                let content = json!({"topic": number});
                ("m.room.topic", Some(String::new()), content)
            }
            12 => {
                let content = json!({"name": number.to_string()});
                ("m.room.name", Some(String::new()), content)
            }
            _ => ("m.room.message", None, json!({"body": number.to_string()})),
        }
    }

    /// Events that have seen everything; the last one has no other beside it.
    pub(super) fn conclude(&mut self) {
        loop {
            let named: BTreeSet<_> = self.nodes.iter().flat_map(|node| &node.prev).collect();
            let ends = (0..self.nodes.len()).filter(|at| !named.contains(at));
            let ends: Vec<_> = ends.take(ENDS_JOINED).collect();
            let is_last = ends.len() == 1;
            let body = json!({"body": "end"});
            self.add(&ends, USERS[0], ("m.room.message", None), body);
            if is_last {
                return;
            }
        }
    }

    /// An event as it is received.
    pub(super) fn event(&self, at: usize, role: Role) -> ReceivedEvent {
        let pdu = &self.nodes[at].pdu;
        ReceivedEvent {
            pdu: CheckedPdu::from(pdu.clone()),
            role,
        }
    }

    /// The create event, with which a room begins where it is made.
    pub(super) fn first(&self) -> ReceivedEvent {
        let placement = Placement::Live;
        let state = Vec::new();
        self.event(0, Role::Given { state, placement })
    }

    /// How often the graph forks: events that follow on one on which another has followed already.
    pub(super) fn forks(&self) -> u64 {
        let mut followed = BTreeSet::new();
        let links = self.nodes.iter().flat_map(|node| &node.prev);
        links.filter(|prev| !followed.insert(**prev)).count() as u64
    }

    /// The predecessors of an event.
    pub(super) fn prev(&self, at: usize) -> &[usize] {
        &self.nodes[at].prev
    }

    /// An event with the state before it, as a server tells it that is asked for both: what authorises them comes first.
    pub(super) fn given(&self, at: usize, placement: Placement) -> Vec<ReceivedEvent> {
        let state: Vec<_> = self.nodes[at].before.values().cloned().collect();
        let mut events = self.outliers(at, &state);
        events.push(self.event(at, Role::Given { state, placement }));
        events
    }

    /// The same, without the members that authorise nothing of it (`omit_members`).
    pub(super) fn given_lean(&self, at: usize) -> Vec<ReceivedEvent> {
        let node = &self.nodes[at];
        let is_member = |key: &StateKey| key.0 == TimelineEventType::RoomMember;
        let others = node.before.iter().filter(|(key, _)| !is_member(key));
        let others: Vec<_> = others.map(|(_, id)| id.clone()).collect();
        let named = self.beneath(at, &others);
        let told = node.before.iter();
        let told = told.filter(|(key, id)| !is_member(key) || named.contains(*id));
        let state: Vec<_> = told.map(|(_, id)| id.clone()).collect();
        let mut events = self.outliers(at, &state);
        let placement = Placement::Live;
        events.push(self.event(at, Role::Given { state, placement }));
        events
    }

    /// A state, and what it and an event rest on, as outliers.
    pub(super) fn outliers(&self, at: usize, state: &[OwnedEventId]) -> Vec<ReceivedEvent> {
        let mut needed = self.beneath(at, state);
        needed.extend(state.iter().cloned());
        let needed: BTreeSet<_> = needed.iter().map(|id| self.by_id[id]).collect();
        let needed = needed.into_iter();
        needed.map(|at| self.event(at, Role::Outlier)).collect()
    }

    /// What authorises an event and a state, directly or not.
    fn beneath(&self, at: usize, state: &[OwnedEventId]) -> BTreeSet<OwnedEventId> {
        let authorising = &self.nodes[at].pdu.auth_events;
        let tops = state.iter().chain(authorising);
        let mut beneath = resolve::auth_chain(tops, &|id: &EventId| self.fetch(id));
        beneath.extend(authorising.iter().cloned());
        beneath
    }

    /// Whether one event lies before another, as far as events that are known tell.
    pub(super) fn precedes(&self, one: usize, other: usize, known: &BTreeSet<usize>) -> bool {
        let mut open = vec![other];
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            for prev in &self.nodes[at].prev {
                if *prev == one {
                    return true;
                }
                if known.contains(prev) && *prev > one && seen.insert(*prev) {
                    open.push(*prev);
                }
            }
        }
        false
    }
}

/// The content of an event's field, for messages about failures.
pub(super) fn told(oracle: &Oracle, state: &StateIds) -> Vec<String> {
    let told = state.iter().map(|((event_type, key), id)| {
        let at = oracle.number(id);
        let content = oracle.nodes[at].pdu.content_json();
        format!("{event_type} {key}: {at} {content}")
    });
    told.collect()
}
