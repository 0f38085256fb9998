//! What one node takes in is seen on all.

use std::collections::BTreeMap;

use ruma::events::receipt::ReceiptType;

use super::*;
use crate::{
    delays::NewDelay,
    house::{ListWish, ToDeviceWish},
    room::message::MoveReceipt,
};

/// The public rooms, as soon as the read models are not too far behind to tell.
async fn listed(house: &House) -> Vec<(String, u64)> {
    let wish = || ListWish {
        term: None,
        room_types: Vec::new(),
        from: None,
        limit: 10,
    };
    let told = async {
        loop {
            if let Ok(page) = house.public_rooms(wish()).await {
                break page;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let page = tokio::time::timeout(Duration::from_secs(120), told).await;
    let page = page.expect("in time");
    let rooms = page.rooms.into_iter();
    rooms
        .map(|room| (room.place.room_id, room.place.joined))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_house_takes_anything() {
    let town = Town::new().await;
    let nodes = town.nodes(3).await;
    let houses: Vec<&House> = nodes.iter().map(|node| &*node.house).collect();
    let mut clients = Vec::new();
    for (number, house) in houses.iter().enumerate() {
        clients.push(Client::register(house, &format!("user{number}")).await);
    }
    let mut wish = wish_of(&clients[0].user_id);
    wish.public = true;
    let room_id = houses[1].create_room(wish).await.unwrap().room_id;
    join(houses[2], &clients[1].user_id, &room_id).await;
    join(houses[0], &clients[2].user_id, &room_id).await;
    let mut said = Vec::new();
    for (turn, client) in clients.iter().cycle().take(9).enumerate() {
        let house = houses[turn / 3];
        let event_id = say(house, &client.user_id, &room_id, "hello").await;
        said.push(event_id.unwrap().to_string());
    }
    for client in &mut clients {
        let all = |client: &Client| said.iter().all(|event_id| client.has(&room_id, event_id));
        client.sync_until("everything comes", &houses, all).await;
        let timeline = &client.timeline[&room_id];
        let ours = timeline.iter().filter(|event_id| said.contains(event_id));
        assert!(ours.eq(&said), "another order");
    }
    // The models are folded once, wherever one looks.
    for house in &houses {
        assert_eq!(listed(house).await, [(room_id.to_string(), 3)]);
    }
    join(houses[0], &clients[0].user_id, &room_id).await;
    for node in nodes {
        node.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_receipts_and_typing_reach_each_other() {
    let town = Town::new().await;
    let nodes = town.nodes(3).await;
    let houses: Vec<&House> = nodes.iter().map(|node| &*node.house).collect();
    let alice = Client::register(houses[0], "alice").await;
    let mut bob = Client::register(houses[1], "bob").await;
    let room_id = make_room(houses[2], &alice.user_id).await;
    join(houses[0], &bob.user_id, &room_id).await;
    let event_id = say(houses[1], &bob.user_id, &room_id, "hello").await;
    let event_id = event_id.unwrap();
    send_each_twice(&houses, &alice, &bob.user_id).await;
    bob.sync_until("messages come", &houses, |bob| bob.to_device.len() >= 6)
        .await;
    let numbers = bob.to_device.iter();
    let numbers: Vec<_> = numbers
        .map(|event| event["content"]["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    let receipt = MoveReceipt {
        user_id: alice.user_id.clone(),
        receipt_type: ReceiptType::Read,
        thread_id: None,
        event_id: event_id.clone(),
        ts_ms: None,
        found: false,
    };
    houses[0].move_receipt(&room_id, receipt).await.unwrap();
    let read = |bob: &Client| {
        let receipt = &bob.ephemeral[&room_id]["m.receipt"];
        receipt[event_id.as_str()]["m.read"][alice.user_id.as_str()].is_object()
    };
    let is_read = |bob: &Client| {
        let ephemeral = bob.ephemeral.get(&room_id);
        ephemeral.is_some_and(|known| known.contains_key("m.receipt")) && read(bob)
    };
    bob.sync_until("the receipt comes", &houses, is_read).await;
    let typists = |bob: &Client| {
        let ephemeral = bob.ephemeral.get(&room_id);
        let typing = ephemeral.and_then(|known| known.get("m.typing"));
        typing.map_or(Value::Null, |typing| typing["user_ids"].clone())
    };
    for (house, timeout_ms, users) in [
        (houses[0], 60_000, json!([alice.user_id])),
        (houses[1], 0, json!([])),
        (houses[2], 60_000, json!([alice.user_id])),
    ] {
        // Said again now and then, as clients do: a room that moves meanwhile forgets who types.
        let heard = async {
            while typists(&bob) != users {
                let said = house.set_typing(&room_id, &alice.user_id, timeout_ms);
                said.await.unwrap();
                for house in &houses {
                    let _ = bob.sync(house, 100).await;
                }
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(120), heard).await;
        assert!(heard.is_ok(), "typing comes");
    }
    // The room moves: whoever typed is forgotten, and not for ever typing.
    let entity = playhouse_schema::address::Entity::room(room_id.as_str());
    let shard = house_layout(houses[0]).shard_of(&entity);
    let mut nodes = nodes;
    let has_room = |node: &Node| node.house.map().unwrap().serves(shard);
    until("somebody has the room", || nodes.iter().any(has_room)).await;
    let owner = nodes.iter().position(has_room).unwrap_or_default();
    nodes.remove(owner).leave().await;
    let houses: Vec<&House> = nodes.iter().map(|node| &*node.house).collect();
    bob.sync_until("typing ends", &houses, |bob| typists(bob) == json!([]))
        .await;
}

/// Six messages to a device, each sent again at another house: that is a repeat.
async fn send_each_twice(houses: &[&House], sender: &Client, to: &OwnedUserId) {
    let session = houses[2].authenticate(&sender.access_token).await.unwrap();
    for number in 0..6_usize {
        let wish = ToDeviceWish {
            event_type: "m.test".to_owned(),
            transaction_id: number.to_string(),
            messages: BTreeMap::from([(
                to.clone(),
                vec![("D".to_owned(), json!({ "number": number }).to_string())],
            )]),
        };
        for turn in [number, number + 1] {
            let house = houses[turn % 3];
            house.send_to_device(&session, wish.clone()).await.unwrap();
        }
    }
}

fn house_layout(house: &House) -> playhouse_schema::address::Layout {
    house.store().layout()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_later_is_sent_once() {
    let town = Town::new().await;
    let mut nodes = town.nodes(2).await;
    let mut clients = Vec::new();
    let alice = Client::register(&nodes[0].house, "alice").await;
    let room_id = make_room(&nodes[1].house, &alice.user_id).await;
    for number in 0..6 {
        let name = format!("user{number}");
        let client = Client::register(&nodes[number % 2].house, &name).await;
        join(&nodes[0].house, &client.user_id, &room_id).await;
        let new = NewDelay {
            user_id: client.user_id.to_string(),
            device_id: client.device_id.to_string(),
            transaction_id: None,
            room_id: room_id.to_string(),
            event_type: "m.room.message".to_owned(),
            state_key: None,
            content: json!({ "msgtype": "m.text", "body": name }).to_string(),
            delay_ms: 300 * (number as u64 + 1),
            guest: false,
            sticky_ms: None,
        };
        nodes[(number + 1) % 2]
            .house
            .delay_event(new)
            .await
            .unwrap();
        clients.push(client);
    }
    // Some are due before another node comes, some while one goes.
    nodes.push(town.node("n2").await);
    town.settled(&nodes.iter().collect::<Vec<_>>()).await;
    nodes.remove(0).leave().await;
    let houses: Vec<&House> = nodes.iter().map(|node| &*node.house).collect();
    let entity = playhouse_schema::address::Entity::room(room_id.as_str());
    let sent = || {
        let records = town.store.records_of(&entity).into_iter();
        let sent = records.filter(|one| one.payload.windows(6).any(|bytes| bytes == b"m.text"));
        let sent = sent.filter_map(|record| Some(record.key?.to_string()));
        sent.collect::<Vec<_>>()
    };
    until("all of them are sent", || sent().len() >= 6).await;
    let mut reader = clients.remove(0);
    reader
        .sync_until("all of them come", &houses, |reader| {
            sent().iter().all(|event_id| reader.has(&room_id, event_id))
        })
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(sent().len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_on_one_node_has_ended_on_all() {
    let town = Town::new().await;
    let nodes = town.nodes(3).await;
    for number in 0..9 {
        let house = |turn: usize| &nodes[(number + turn) % 3].house;
        let client = Client::register(house(0), &format!("user{number}")).await;
        let mut session = None;
        for turn in 0..6 {
            let found = house(turn).authenticate(&client.access_token).await;
            session = Some(found.unwrap());
        }
        house(1).logout(&session.unwrap()).await.unwrap();
        for turn in 0..3 {
            let refused = house(turn).authenticate(&client.access_token).await;
            assert!(refused.is_err(), "let in by node {turn}");
        }
    }
}
