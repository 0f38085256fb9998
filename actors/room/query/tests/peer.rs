//! What other servers are told.

use ruma::{OwnedEventId, OwnedServerName};
use serde_json::{Value, json};

use super::{World, id, parse};
use crate::room::{
    error::RoomError,
    message::RoomQuery,
    peer::{MissingEvents, PeerAnswer, PeerQuery, PeerQuestion, PeerStanding},
};

fn event_id(sequence: u64) -> OwnedEventId {
    id(sequence).try_into().unwrap()
}

fn event_ids(sequences: &[u64]) -> Vec<OwnedEventId> {
    sequences.iter().copied().map(event_id).collect()
}

impl World {
    /// A member event of another server's user.
    fn guest(&mut self, user_id: &str, membership: &str) -> u64 {
        let fields = json!({
            "type": "m.room.member", "state_key": user_id, "sender": "@alice:x",
            "content": {"membership": membership},
        });
        self.event("alice", fields)
    }

    /// A message that follows upon others.
    fn says(&mut self, after: &[u64]) -> u64 {
        let prev_events: Vec<_> = after.iter().copied().map(id).collect();
        let fields = json!({
            "type": "m.room.message", "content": {"body": "hello"}, "prev_events": prev_events,
        });
        self.event("alice", fields)
    }

    fn peer(&self, server: &str, question: PeerQuestion) -> Result<PeerAnswer, RoomError> {
        let server: OwnedServerName = server.try_into().unwrap();
        let query = PeerQuery { server, question };
        match self.ask(RoomQuery::Peer(Box::new(query)))? {
            super::RoomAnswer::Peer(answer) => Ok(*answer),
            other => panic!("an answer for a server expected, not {other:?}"),
        }
    }

    /// Events told, by the numbers that their times give away, and whether their content is told too.
    fn told(&self, server: &str, question: PeerQuestion) -> Vec<(u64, bool)> {
        match self.peer(server, question).unwrap() {
            PeerAnswer::Events(events) => events.iter().map(|event| told(event)).collect(),
            other => panic!("events expected, not {other:?}"),
        }
    }

    fn backfilled(&self, from: &[u64], limit: usize) -> Vec<(u64, bool)> {
        let from = event_ids(from);
        self.told("far", PeerQuestion::Backfill { from, limit })
    }
}

fn told(event: &[u8]) -> (u64, bool) {
    let event: Value = parse(event);
    let sent = event["origin_server_ts"].as_u64().unwrap();
    let is_whole = event["content"].get("body").is_some();
    (sent - 1_000_000, is_whole)
}

fn forbidden<T: std::fmt::Debug>(outcome: Result<T, RoomError>) -> bool {
    matches!(outcome, Err(RoomError::Forbidden(_)))
}

/// A room in which `far` has a joined user.
fn shared() -> World {
    let mut world = World::new();
    world.guest("@bob:far", "join");
    world
}

#[test]
fn only_servers_in_the_room_are_answered() {
    let mut world = shared();
    let said = world.says(&[3]);
    let question = || PeerQuestion::StateIds {
        event_id: event_id(said),
    };
    assert!(world.peer("far", question()).is_ok());
    assert!(forbidden(world.peer("else.where", question())));
    assert!(forbidden(world.peer("r", question())));
    world.guest("@bob:far", "leave");
    assert!(forbidden(world.peer("far", question())));
    world.guest("@bob:far", "invite");
    assert!(forbidden(world.peer("far", question())));
    let answer = world.peer("far", PeerQuestion::Standing);
    let Ok(PeerAnswer::Standing(standing)) = answer else {
        panic!("a standing expected, not {answer:?}");
    };
    let wanted = PeerStanding {
        joined: false,
        invited: true,
        admitted: true,
        state_events: 3,
    };
    assert_eq!(standing, wanted);
}

#[test]
fn the_acl_of_the_room_is_obeyed() {
    let mut world = shared();
    let acl = json!({"allow": ["*"], "deny": ["f?r"]});
    let set = world.state("alice", "m.room.server_acl", "", acl);
    for question in [
        PeerQuestion::Event {
            event_id: event_id(set),
        },
        PeerQuestion::Extremities,
        PeerQuestion::Backfill {
            from: event_ids(&[set]),
            limit: 5,
        },
    ] {
        assert!(forbidden(world.peer("far", question)));
    }
    world.state("alice", "m.room.server_acl", "", json!({"allow": ["far"]}));
    assert!(world.peer("far", PeerQuestion::Extremities).is_ok());
}

#[test]
fn backfill_goes_back_by_depth_and_ends_somewhere() {
    let mut world = shared();
    let one = world.says(&[3]);
    let left = world.says(&[one]);
    let right = world.says(&[one]);
    let end = world.says(&[left, right]);
    let all: Vec<_> = [end, right, left, one].map(|event| (event, true)).into();
    assert_eq!(world.backfilled(&[end], 4), all);
    assert_eq!(world.backfilled(&[end], 2), all[..2]);
    assert!(world.backfilled(&[end], 0).is_empty());
    assert_eq!(world.backfilled(&[left, right], 3), all[1..]);
    assert_eq!(world.backfilled(&[end, end], 50)[..4], all);
    assert!(world.backfilled(&[99], 5).is_empty());
    // What has left the memory is read.
    let mut last = end;
    for _ in 0..200 {
        last = world.says(&[last]);
    }
    world.shrink(3);
    let before = world.reads();
    let told = world.backfilled(&[last], 1_000);
    assert_eq!(told.len(), 100);
    assert!(told.iter().rev().map(|(event, _)| *event).is_sorted());
    assert!(world.reads() - before < 10, "{}", world.reads() - before);
}

#[test]
fn missing_events_lie_between() {
    let mut world = shared();
    let one = world.says(&[3]);
    let left = world.says(&[one]);
    let right = world.says(&[one]);
    let end = world.says(&[left, right]);
    let missing = |earliest: &[u64], limit, min_depth| -> Vec<u64> {
        let gap = MissingEvents {
            earliest: event_ids(earliest),
            latest: event_ids(&[end]),
            limit,
            min_depth,
        };
        let told = world.told("far", PeerQuestion::MissingEvents(gap));
        told.into_iter().map(|(event, _)| event).collect()
    };
    assert_eq!(missing(&[one], 10, 0), [left, right]);
    assert_eq!(missing(&[left], 10, 0), [3, one, right]);
    assert_eq!(missing(&[], 2, 0), [left, right]);
    assert_eq!(missing(&[], 10, left), [left, right]);
    assert!(missing(&[left, right], 10, 0).is_empty());
}

#[test]
fn what_a_server_may_not_see_is_told_without_content() {
    let mut world = World::new();
    let hidden = world.says(&[2]);
    world.visibility("joined");
    let closed = world.says(&[hidden]);
    let invite = world.guest("@bob:far", "invite");
    let invited = world.says(&[closed]);
    let join = world.guest("@bob:far", "join");
    let open = world.says(&[invited]);
    let own = json!({
        "type": "m.room.message", "content": {"body": "mine"}, "sender": "@bob:far",
        "prev_events": [id(open)],
    });
    let own = world.event("alice", own);
    let told = world.backfilled(&[own], 5);
    let wanted = [
        (own, true),
        (open, true),
        (invited, false),
        (closed, false),
        (hidden, true),
    ];
    assert_eq!(told, wanted);
    let event = |event| {
        let question = PeerQuestion::Event {
            event_id: event_id(event),
        };
        world.told("far", question)
    };
    assert_eq!(event(closed), [(closed, false)]);
    for member in [invite, join] {
        let question = PeerQuestion::Event {
            event_id: event_id(member),
        };
        let Ok(PeerAnswer::Events(events)) = world.peer("far", question) else {
            panic!("an event expected");
        };
        assert!(parse(&events[0])["content"]["membership"].is_string());
    }
    let stranger = world.peer(
        "else.where",
        PeerQuestion::Event {
            event_id: event_id(open),
        },
    );
    assert_eq!(stranger.err(), Some(RoomError::NotFound));
}

#[test]
fn invites_open_history_where_the_room_says_so() {
    let mut world = World::new();
    world.visibility("invited");
    let closed = world.says(&[3]);
    world.guest("@bob:far", "invite");
    let open = world.says(&[closed]);
    world.guest("@bob:far", "join");
    world.guest("@carol:far", "join");
    world.guest("@bob:far", "leave");
    let later = world.says(&[open]);
    let wanted = [(later, true), (open, true), (closed, false)];
    assert_eq!(world.backfilled(&[later], 3), wanted);
    world.shrink(1);
    assert_eq!(world.backfilled(&[later], 3), wanted);
}

#[test]
fn a_server_that_has_left_sees_what_it_saw() {
    let mut world = World::new();
    world.visibility("joined");
    world.guest("@bob:far", "join");
    let inside = world.says(&[3]);
    world.guest("@bob:far", "leave");
    let outside = world.says(&[inside]);
    let event = |event| PeerQuestion::Event {
        event_id: event_id(event),
    };
    assert_eq!(world.told("far", event(inside)), [(inside, true)]);
    let refused = world.peer("far", event(outside));
    assert_eq!(refused.err(), Some(RoomError::NotFound));
    world.visibility("world_readable");
    let open = world.says(&[outside]);
    assert_eq!(world.told("else.where", event(open)), [(open, true)]);
}

#[test]
fn the_state_is_that_before_the_event() {
    let mut world = shared();
    let name = |world: &mut World, name: &str, auth: &[u64]| {
        let auth_events: Vec<_> = auth.iter().copied().map(id).collect();
        let fields = json!({
            "type": "m.room.name", "state_key": "", "content": {"name": name},
            "auth_events": auth_events,
        });
        world.event("alice", fields)
    };
    let first = name(&mut world, "first", &[1, 2]);
    let second = name(&mut world, "second", &[2]);
    world.says(&[second]);
    let third = name(&mut world, "third", &[first]);
    for _ in 0..3 {
        world.shrink(2);
        let ids = |event: u64| {
            let question = PeerQuestion::StateIds {
                event_id: event_id(event),
            };
            match world.peer("far", question).unwrap() {
                PeerAnswer::StateIds {
                    mut pdu_ids,
                    auth_chain_ids,
                } => {
                    pdu_ids.sort();
                    (pdu_ids, auth_chain_ids)
                }
                other => panic!("IDs expected, not {other:?}"),
            }
        };
        assert_eq!(ids(first), (event_ids(&[1, 2, 3]), Vec::new()));
        assert_eq!(
            ids(second),
            (event_ids(&[1, 2, 3, first]), event_ids(&[1, 2]))
        );
        assert_eq!(ids(third), (event_ids(&[1, 2, 3, second]), event_ids(&[2])));
    }
    let chain = PeerQuestion::AuthChain {
        event_id: event_id(third),
    };
    let chain = world.told("far", chain);
    let chain: Vec<_> = chain.into_iter().map(|(event, _)| event).collect();
    assert_eq!(chain, [1, 2, first]);
    let unknown = PeerQuestion::State {
        event_id: event_id(99),
    };
    assert_eq!(world.peer("far", unknown).err(), Some(RoomError::NotFound));
}

#[test]
fn the_event_at_a_time_is_one_that_the_server_may_see() {
    let mut world = World::new();
    world.visibility("joined");
    world.says(&[3]);
    let join = world.guest("@bob:far", "join");
    let open = world.says(&[4]);
    let at = |ts_ms, backwards| match world.peer("far", PeerQuestion::EventAt { ts_ms, backwards })
    {
        Ok(PeerAnswer::Found(found)) => Some(found.event_id),
        _ => None,
    };
    assert_eq!(at(1_000_004, false), Some(event_id(join)));
    assert_eq!(at(2_000_000, true), Some(event_id(open)));
    assert_eq!(at(2_000_000, false), None);
}

#[test]
fn a_room_introduces_itself_by_what_tells_it_from_others() {
    let mut world = shared();
    world.state("alice", "m.room.name", "", json!({"name": "n"}));
    world.state("alice", "org.example", "", json!({}));
    let super::RoomAnswer::Introduction(told) = world.ask(RoomQuery::Introduction).unwrap() else {
        panic!("an introduction expected");
    };
    let types = told.state.iter().map(|event| {
        let event: Value = parse(event);
        event["type"].as_str().unwrap().to_owned()
    });
    let types: Vec<_> = types.collect();
    assert_eq!(types, ["m.room.create", "m.room.name"]);
    assert_eq!(told.version.as_str(), "10");
}

#[test]
fn who_is_not_joined_vouches_for_nobody() {
    let world = shared();
    let may_vouch = |name: &str| {
        let user_id = super::user(name);
        match world.ask(RoomQuery::MayVouch { user_id }).unwrap() {
            super::RoomAnswer::MayVouch(may) => may,
            other => panic!("yes or no expected, not {other:?}"),
        }
    };
    assert!(may_vouch("alice") && !may_vouch("stranger"));
}
