//! Which servers share a room with a user, and so hear of the user's devices.

use super::{
    Ground,
    folding::{fold_as, ground},
};
use crate::{
    address::{Entity, Layout},
    models::{device_lists, server_rooms},
    port::ModelStore,
    record::{
        room::{EventRecord, Placement, RoomRecord, Verdict},
        user::{DeviceAdded, UserRecord},
    },
};

/// Folds member events of a room, in order.
async fn fold_members(store: &dyn ModelStore, room_id: &str, members: &[(&str, &str)]) {
    for ((user_id, membership), number) in members.iter().zip(1..) {
        let pdu = format!(
            r#"{{"type":"m.room.member","state_key":"{user_id}","sender":"{user_id}","content":{{"membership":"{membership}"}}}}"#
        );
        let event = RoomRecord::Event(EventRecord {
            event_id: format!("${number}"),
            pdu: pdu.into_bytes().into(),
            before: 0,
            replaces: None,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction: None,
            from: None,
        });
        fold_as(store, Entity::room(room_id), (number, number), event).await;
    }
}

async fn neighbours(store: &dyn ModelStore, user_id: &str) -> Vec<String> {
    server_rooms::neighbours(store, user_id).await.unwrap()
}

/// Whether a server that catches up is told of a user's devices.
async fn hears(store: &dyn ModelStore, server_name: &str, user_id: &str) -> bool {
    let shard = Layout::default().shard_of(&Entity::user(user_id)).number;
    let whose = ("own", server_name, shard);
    let found = device_lists::of_neighbours_of_server(store, whose, (0, 100), 10).await;
    found
        .unwrap()
        .iter()
        .any(|change| change.user_id == user_id)
}

async fn add_device(store: &dyn ModelStore, user_id: &str) {
    let added = UserRecord::DeviceAdded(DeviceAdded {
        device_id: "D".into(),
        display_name: None,
    });
    fold_as(store, Entity::user(user_id), (7, 7), added).await;
}

pub(super) async fn who_has_nobody_in_a_room_is_no_neighbour(place: Ground) {
    let store = ground(&place).await;
    let members = [
        ("@anna:own", "join"),
        ("@bert:far", "join"),
        ("@carl:near:8448", "join"),
        ("@dora:invited", "invite"),
        ("@eve:banned", "join"),
        ("@emma:half", "join"),
        ("@emil:half", "join"),
        ("@six:[::1]:80", "join"),
        ("@bert:far", "leave"),
        ("@eve:banned", "ban"),
        ("@emil:half", "leave"),
    ];
    fold_members(&*store, "!1:own", &members).await;
    // In rooms that the user has left, and in those of others.
    let elsewhere = [("@anna:own", "leave"), ("@bert:far", "join")];
    fold_members(&*store, "!2:own", &elsewhere).await;
    let told = neighbours(&*store, "@anna:own").await;
    assert_eq!(told, ["[::1]:80", "half", "near:8448", "own"]);
    add_device(&*store, "@anna:own").await;
    for name in &told {
        assert!(hears(&*store, name, "@anna:own").await, "{name}");
    }
    for name in ["far", "near", "invited", "banned", "else"] {
        assert!(!hears(&*store, name, "@anna:own").await, "{name}");
    }
}

pub(super) async fn who_may_be_in_a_room_is_a_neighbour(place: Ground) {
    let store = ground(&place).await;
    add_device(&*store, "@anna:own").await;
    // Old servers have users of such names.
    for odd in ["@\u{fc}:odd", "@o'hara:odd", "@wh?:odd"] {
        let members = [("@anna:own", "join"), (odd, "join"), ("@gone:far", "leave")];
        let room_id = "!1:own";
        fold_members(&*store, room_id, &members).await;
        let told = neighbours(&*store, "@anna:own").await;
        assert!(told.iter().any(|name| name == "odd"), "{odd}: {told:?}");
        assert!(hears(&*store, "odd", "@anna:own").await, "{odd}");
        fold_members(&*store, room_id, &[(odd, "leave")]).await;
        let told = neighbours(&*store, "@anna:own").await;
        assert_eq!(told, ["own"], "{odd}");
    }
}
