use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use ruma::{EventId, OwnedEventId, RoomVersionId, events::TimelineEventType};
use serde_json::json;

use super::{StateIds, auth_chain, ids_of, merge, resolve, subgraph};
use crate::room::{
    message::{MembershipAction, Preset},
    pdu::Pdu,
    state::StateMap,
    testing::{Stage, change, state},
};

/// An event graph by hand. Event `n` has the ID `$n:x`.
#[derive(Default)]
struct Graph {
    events: BTreeMap<OwnedEventId, Pdu>,
}

fn id(name: &str) -> OwnedEventId {
    EventId::parse(format!("${name}:x")).unwrap()
}

struct Made<'a> {
    name: &'a str,
    event_type: &'a str,
    state_key: &'a str,
    sender: &'a str,
    content: serde_json::Value,
    depth: u64,
    auth: &'a [&'a str],
}

impl Graph {
    fn add(&mut self, made: Made<'_>) {
        let auth: Vec<_> = made.auth.iter().map(|name| id(name)).collect();
        let prev: Vec<_> = if made.event_type == "m.room.create" {
            Vec::new()
        } else {
            vec![id("create"), id("alice")]
        };
        let json = json!({
            "room_id": "!r:x",
            "sender": format!("@{}:x", made.sender),
            "type": made.event_type,
            "state_key": made.state_key,
            "content": made.content,
            "depth": made.depth,
            "origin_server_ts": made.depth * 10,
            "prev_events": prev,
            "auth_events": auth,
        });
        let pdu = Pdu::parse(id(made.name), Bytes::from(json.to_string())).unwrap();
        self.events.insert(pdu.event_id.clone(), pdu);
    }

    fn fetch<'a>(&'a self) -> impl Fn(&EventId) -> Option<&'a Pdu> {
        |event_id| self.events.get(event_id)
    }

    fn state(&self, names: &[&str]) -> StateIds {
        names
            .iter()
            .map(|name| {
                let pdu = &self.events[&id(name)];
                let key = (
                    pdu.event_type.clone(),
                    pdu.state_key.clone().unwrap_or_default(),
                );
                (key, pdu.event_id.clone())
            })
            .collect()
    }
}

fn of<'a>(resolved: &'a StateIds, event_type: &str, state_key: &str) -> &'a str {
    let key = (TimelineEventType::from(event_type), state_key.to_owned());
    resolved
        .get(&key)
        .map_or("", |event_id| event_id.as_str().split(':').next().unwrap())
}

fn power(bob: u8) -> serde_json::Value {
    json!({ "users": { "@alice:x": 100, "@bob:x": bob } })
}

/// Alice made the room, Bob moderates it.
#[expect(
    clippy::too_many_lines,
    reason = "one event graph, told from top to bottom"
)]
fn graph() -> Graph {
    let mut graph = Graph::default();
    let member = |name, sender, content, depth, auth| Made {
        name,
        event_type: "m.room.member",
        state_key: if name == "ban" {
            "@bob:x"
        } else if sender == "alice" {
            "@alice:x"
        } else {
            "@bob:x"
        },
        sender,
        content,
        depth,
        auth,
    };
    let plain = |name, event_type, sender, content, depth, auth| Made {
        name,
        event_type,
        state_key: "",
        sender,
        content,
        depth,
        auth,
    };
    let join = || json!({ "membership": "join" });
    graph.add(plain(
        "create",
        "m.room.create",
        "alice",
        json!({ "creator": "@alice:x" }),
        1,
        &[],
    ));
    graph.add(member("alice", "alice", join(), 2, &["create"]));
    graph.add(plain(
        "pl",
        "m.room.power_levels",
        "alice",
        power(50),
        3,
        &["create", "alice"],
    ));
    graph.add(plain(
        "rules",
        "m.room.join_rules",
        "alice",
        json!({ "join_rule": "public" }),
        4,
        &["create", "alice", "pl"],
    ));
    graph.add(member("bob", "bob", join(), 5, &["create", "pl", "rules"]));
    graph.add(member(
        "ban",
        "alice",
        json!({ "membership": "ban" }),
        6,
        &["create", "alice", "pl", "bob"],
    ));
    graph.add(plain(
        "topic1",
        "m.room.topic",
        "bob",
        json!({ "topic": "1" }),
        6,
        &["create", "bob", "pl"],
    ));
    graph.add(plain(
        "topic2",
        "m.room.topic",
        "bob",
        json!({ "topic": "2" }),
        7,
        &["create", "bob", "pl"],
    ));
    graph.add(plain(
        "demote",
        "m.room.power_levels",
        "alice",
        power(0),
        6,
        &["create", "alice", "pl"],
    ));
    graph.add(plain(
        "raise",
        "m.room.power_levels",
        "bob",
        power(100),
        7,
        &["create", "bob", "pl"],
    ));
    graph.add(plain(
        "invite",
        "m.room.join_rules",
        "bob",
        json!({ "join_rule": "invite" }),
        7,
        &["create", "bob", "pl"],
    ));
    graph
}

#[test]
fn in_version_2_a_ban_beats_what_the_banned_did_meanwhile() {
    let graph = graph();
    let rules = RoomVersionId::V2.rules().unwrap();
    let left = graph.state(&["create", "alice", "pl", "rules", "ban"]);
    let right = graph.state(&["create", "alice", "pl", "rules", "bob", "topic2"]);
    let resolved = resolve(&rules, &[left, right], &graph.fetch()).unwrap();
    assert_eq!(of(&resolved, "m.room.member", "@bob:x"), "$ban");
    assert_eq!(of(&resolved, "m.room.topic", ""), "");
}

#[test]
fn in_version_1_the_deepest_allowed_wins() {
    let graph = graph();
    let rules = RoomVersionId::V1.rules().unwrap();
    let left = graph.state(&["create", "alice", "pl", "rules", "bob", "topic1"]);
    let right = graph.state(&["create", "alice", "pl", "rules", "bob", "topic2"]);
    let resolved = resolve(&rules, &[left.clone(), right], &graph.fetch()).unwrap();
    assert_eq!(of(&resolved, "m.room.topic", ""), "$topic2");
    // What only some states have is no conflict.
    let bare = graph.state(&["create", "alice", "pl", "rules"]);
    let resolved = resolve(&rules, &[left, bare], &graph.fetch()).unwrap();
    assert_eq!(of(&resolved, "m.room.topic", ""), "$topic1");
}

#[test]
fn in_version_1_powers_come_first() {
    let graph = graph();
    let rules = RoomVersionId::V1.rules().unwrap();
    let left = graph.state(&["create", "alice", "demote", "rules", "bob", "topic1"]);
    let right = graph.state(&["create", "alice", "raise", "invite", "bob", "topic2"]);
    let resolved = resolve(&rules, &[left, right], &graph.fetch()).unwrap();
    // Demoted at the lesser depth, Bob can neither raise himself nor change the rules; the topics' conflict falls back to the least deep.
    assert_eq!(of(&resolved, "m.room.power_levels", ""), "$demote");
    assert_eq!(of(&resolved, "m.room.join_rules", ""), "$rules");
    assert_eq!(of(&resolved, "m.room.topic", ""), "$topic1");
}

#[test]
fn the_subgraph_holds_what_lies_between() {
    let graph = graph();
    let conflicted = [id("pl"), id("topic1")];
    let found = subgraph(conflicted.iter(), &graph.fetch());
    // Bob's join rests on the power levels and carries his topic; the create event lies below both.
    assert!(found.contains(&id("bob")) && found.contains(&id("rules")));
    assert!(!found.contains(&id("create")) && !found.contains(&id("alice")));
    assert!(auth_chain(conflicted.iter(), &graph.fetch()).contains(&id("create")));
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_order(
        version in prop::sample::select(vec![RoomVersionId::V1, RoomVersionId::V2, RoomVersionId::V6, RoomVersionId::V11]),
        picks in prop::collection::vec((0..2usize, 0..2usize, 0..3usize, 0..3usize), 2..5),
        seed in any::<prop::sample::Index>(),
    ) {
        let graph = graph();
        let rules = version.rules().unwrap();
        let states: Vec<StateIds> = picks
            .iter()
            .map(|(member, rule, power, topic)| {
                let names = [
                    "create",
                    "alice",
                    ["pl", "demote", "raise"][*power],
                    ["rules", "invite"][*rule],
                    ["bob", "ban"][*member],
                ];
                let topics: &[&str] = [&["topic1"][..], &["topic2"], &[]][*topic];
                graph.state(&[&names[..], topics].concat())
            })
            .collect();
        let resolved = resolve(&rules, &states, &graph.fetch()).unwrap();
        let mut turned = states.clone();
        turned.rotate_left(seed.index(states.len()));
        prop_assert_eq!(&resolve(&rules, &turned, &graph.fetch()).unwrap(), &resolved);
        turned.reverse();
        prop_assert_eq!(&resolve(&rules, &turned, &graph.fetch()).unwrap(), &resolved);
    }
}

#[test]
fn branches_of_a_room_merge_into_a_state_set() {
    for version in [RoomVersionId::V1, RoomVersionId::V11, RoomVersionId::V12] {
        let mut stage = Stage::of(version, Preset::PublicChat);
        stage.join("bob").unwrap();
        let fork = stage.room.current.clone();
        stage
            .change(change("alice", "bob", MembershipAction::Ban))
            .unwrap();
        let banned: StateMap = stage.room.current.clone();
        let events = stage.events();
        let fetch = |event_id: &EventId| {
            events
                .iter()
                .find(|event| event.pdu.event_id == event_id)
                .map(|event| &event.pdu)
        };
        let both = [fork.clone(), banned.clone()];
        assert_eq!(merge(&stage.room, &both, &fetch), Ok(None));
        let mut behind = stage.room.clone();
        behind.current = fork.clone();
        let set = merge(&behind, &both, &fetch).unwrap().unwrap();
        let turned = merge(&behind, &[banned.clone(), fork], &fetch);
        assert_eq!(turned.as_ref(), Ok(&Some(set.clone())));
        assert_eq!(set.changes.len(), 1);
        assert_eq!(set.changes[0].state_key, "@bob:localhost");
        let record = playhouse_schema::record::room::RoomRecord::StateSet(set);
        behind.take_in(behind.sequence + 1, 0, &record);
        assert_eq!(ids_of(&behind.current), ids_of(&banned));
        stage
            .send(state("alice", "m.room.name", "", r#"{"name":"x"}"#))
            .unwrap();
    }
}
