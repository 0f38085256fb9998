//! Syncs over the real rooms, users, writers and models on the SQLite driver: whatever happens, each device's answers make up the history, once and in order.

mod world;

use ruma::{OwnedEventId, OwnedRoomId};

use self::world::{Client, World};
use crate::{
    kernel::memory::Dice,
    room::{
        RoomAnswer, RoomQuery,
        message::{MembershipAction, MessagesQuery, Reader, TimelinePoint},
    },
};

/// So many runs.
const SEEDS: u64 = 4;

async fn one_life(seed: u64, steps: usize) {
    let world = World::new().await;
    let mut dice = Dice(seed);
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        clients.push(world.register(name).await);
    }
    clients[1].filter = r#"{"room":{"timeline":{"limit":3}}}"#.to_owned();
    clients[2].filter =
        r#"{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":5}}}"#.to_owned();
    clients[2].is_lazy = true;
    let mut rooms = Vec::new();
    for number in 0..4 {
        let creator = clients[number % clients.len()].user_id.clone();
        rooms.push(world.create(&creator).await);
    }
    for step in 0..steps {
        let room_id = rooms[dice.below(rooms.len())].clone();
        let who = dice.below(clients.len());
        let user_id = clients[who].user_id.clone();
        match dice.below(20) {
            0..=3 => {
                world
                    .change(&room_id, &user_id, MembershipAction::Join)
                    .await;
            }
            4 => {
                world
                    .change(&room_id, &user_id, MembershipAction::Leave)
                    .await;
            }
            5 => {
                let target = clients[dice.below(clients.len())].user_id.clone();
                let action = [
                    MembershipAction::Kick,
                    MembershipAction::Ban,
                    MembershipAction::Unban,
                    MembershipAction::Invite { is_direct: false },
                ][dice.below(4)];
                world.change_of(&room_id, (&user_id, &target), action).await;
            }
            6..=12 => world.say(&room_id, &user_id, &format!("{step}")).await,
            13..=14 => {
                let history = world.history(&room_id).await;
                let event_id = &history[dice.below(history.len())].0;
                let event_id = OwnedEventId::try_from(event_id.as_str()).unwrap();
                world.read(&room_id, &user_id, event_id).await;
            }
            15 if dice.below(3) == 0 => world.sleep().await,
            _ => {
                let with_repeat = dice.below(4) == 0;
                world.sync(&mut clients[who], with_repeat).await;
            }
        }
    }
    world.settle().await;
    for client in &mut clients {
        world.sync(client, false).await;
        check(&world, client, &rooms, seed).await;
    }
}

async fn check(world: &World, client: &Client, rooms: &[OwnedRoomId], seed: u64) {
    let mut fresh = Client::new(client.user_id.clone(), client.device_id.clone());
    world.sleep().await;
    world.sync(&mut fresh, false).await;
    assert_eq!(
        client.invited, fresh.invited,
        "seed {seed}, {}: invites",
        client.user_id
    );
    for (room_id, prev_batch, first) in &client.cuts {
        let history = world
            .history(&OwnedRoomId::try_from(room_id.as_str()).unwrap())
            .await;
        let at = history.iter().position(|(id, ..)| id == first).unwrap();
        let before = event_before(world, client, room_id, prev_batch).await;
        if let Some(before) = before {
            assert_eq!(before, history[at - 1].0, "seed {seed}: prev_batch");
        } else {
            assert_eq!(at, 0, "seed {seed}: prev_batch");
        }
    }
    for room_id in rooms {
        let told = format!("seed {seed}, {} in {room_id}", client.user_id);
        let history = world.history(room_id).await;
        let ids: Vec<_> = history.iter().map(|(id, ..)| id.clone()).collect();
        let Some(view) = client.rooms.get(room_id.as_str()) else {
            assert!(
                !fresh.rooms.contains_key(room_id.as_str()),
                "{told}: never told"
            );
            continue;
        };
        let start = ids.iter().position(|id| Some(id) == view.events.first());
        let start = start.unwrap_or_else(|| panic!("{told}: nothing in the timeline"));
        let end = start + view.events.len();
        assert_eq!(view.events, ids[start..end], "{told}: order or gaps");
        assert_eq!(
            fresh.rooms.contains_key(room_id.as_str()),
            view.is_joined,
            "{told}"
        );
        if view.is_joined {
            assert_eq!(end, ids.len(), "{told}: the end is missing");
            let members = world.members(room_id, &client.user_id).await;
            if client.is_lazy {
                for (member, membership) in &view.members {
                    assert_eq!(members.get(member), Some(membership), "{told}: {member}");
                }
            } else {
                assert_eq!(view.members, members, "{told}: members");
            }
            let recounted = fresh.rooms[room_id.as_str()].notifications;
            assert_eq!(view.notifications, recounted, "{told}: unread");
        }
    }
}

/// The event that a page backwards from a token begins with; `None` when the reader may see none.
async fn event_before(
    world: &World,
    client: &Client,
    room_id: &str,
    token: &str,
) -> Option<String> {
    let sequence = token.strip_prefix('t').unwrap().parse().unwrap();
    let query = MessagesQuery {
        reader: Reader {
            user_id: client.user_id.clone(),
            device_id: None,
            ignored: Vec::new(),
            forgotten: None,
            sees_all: false,
        },
        from: Some(TimelinePoint::Sequence(sequence)),
        to: None,
        backwards: true,
        limit: 1,
        filter: None,
    };
    let query = RoomQuery::Messages(Box::new(query));
    let RoomAnswer::Page(page) = world.ask_room(room_id, query).await else {
        panic!("not a page");
    };
    let event: serde_json::Value = serde_json::from_slice(page.chunk.first()?).unwrap();
    Some(event["event_id"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_make_up_the_history() {
    for seed in 1..=SEEDS {
        one_life(seed, 160).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_sync_hears_of_messages_joins_and_departures() {
    let world = World::new().await;
    let mut alice = world.register("alice").await;
    let mut bob = world.register("bob").await;
    let room_id = world.create(&alice.user_id).await;
    world.settle().await;
    world.sync(&mut alice, false).await;
    world.sync(&mut bob, false).await;
    let waiting = world.ask(&alice, alice.since.clone(), 20_000);
    let action = async {
        world
            .change(&room_id, &bob.user_id, MembershipAction::Join)
            .await;
    };
    let (answer, ()) = tokio::join!(waiting, action);
    alice.take_in(&answer);
    assert!(alice.changed.contains(&bob.user_id.to_string()), "{answer}");
    world.settle().await;
    world.sync(&mut bob, false).await;
    assert!(bob.changed.contains(&alice.user_id.to_string()));
    let waiting = world.ask(&bob, bob.since.clone(), 20_000);
    let action = world.say(&room_id, &alice.user_id, "hello");
    let (answer, ()) = tokio::join!(waiting, action);
    bob.take_in(&answer);
    let view = &bob.rooms[room_id.as_str()];
    assert_eq!(view.notifications, 1, "{answer}");
    let last = view.events.last().unwrap().as_str().try_into().unwrap();
    world.read(&room_id, &bob.user_id, last).await;
    world.settle().await;
    world.sync(&mut bob, false).await;
    assert_eq!(bob.rooms[room_id.as_str()].notifications, 0);
    let waiting = world.ask(&alice, alice.since.clone(), 20_000);
    let (answer, ()) = tokio::join!(waiting, async {});
    alice.take_in(&answer);
    world
        .change(&room_id, &bob.user_id, MembershipAction::Leave)
        .await;
    world.settle().await;
    world.sync(&mut alice, false).await;
    assert_eq!(alice.left, [bob.user_id.to_string()]);
    let nothing = world.ask(&alice, alice.since.clone(), 0).await;
    assert!(nothing.get("rooms").is_none(), "{nothing}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_device_messages_come_until_they_are_acknowledged() {
    let world = World::new().await;
    let mut alice = world.register("alice").await;
    world.sync(&mut alice, false).await;
    world.whisper(&alice, 120).await;
    let first = world.ask(&alice, alice.since.clone(), 20_000).await;
    let repeated = world.ask(&alice, alice.since.clone(), 0).await;
    let messages = |answer: &serde_json::Value| -> Vec<u64> {
        let events = answer["to_device"]["events"].as_array();
        let bodies = events.into_iter().flatten();
        bodies
            .map(|event| event["content"]["n"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(messages(&first), (0..100).collect::<Vec<_>>());
    assert_eq!(messages(&first), messages(&repeated));
    alice.take_in(&first);
    world.sleep().await;
    let second = world.ask(&alice, alice.since.clone(), 0).await;
    assert_eq!(messages(&second), (100..120).collect::<Vec<_>>());
    alice.take_in(&second);
    let third = world.ask(&alice, alice.since.clone(), 0).await;
    assert!(messages(&third).is_empty());
    let anew = world.ask(&alice, None, 0).await;
    assert!(messages(&anew).is_empty(), "acknowledged ones are gone");
}
