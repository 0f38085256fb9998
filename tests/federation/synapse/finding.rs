//! Rooms and moments of rooms are found from afar.
//!
//! Spaces and moments are looked up by Synapse only.

use serde_json::json;

use super::{Pair, both_ways, comes, encode, eventually, server_of, shared_room};
use crate::client::{
    props::{of_type, text},
    stage::fresh,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_tells_of_public_rooms() {
    both_ways(async |host, guest| {
        let name = fresh("Fountain");
        let wish = json!({"preset": "public_chat", "visibility": "public", "name": name});
        let room_id = host.create_room(wish).await;
        let path = format!(
            "/_matrix/client/v3/publicRooms?server={}",
            encode(server_of(host))
        );
        let search = json!({"filter": {"generic_search_term": name}});
        eventually("not in the directory", async || {
            let told = guest.post(&path, search.clone()).await.ok();
            if told["chunk"][0]["room_id"] == room_id.as_str() {
                return Ok(());
            }
            Err(told.to_string())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_shows_what_is_in_it() {
    let (ours, theirs) = Pair::shared().await.users().await;
    let (host, guest) = (&ours, &theirs);
    let wish = json!({"creation_content": {"type": "m.space"}});
    let space = shared_room(host, guest, wish).await;
    let name = fresh("Fountain");
    let room_id = host
        .create_room(json!({"preset": "public_chat", "name": name}))
        .await;
    let hidden = host.create_room(json!({"preset": "private_chat"})).await;
    for child in [&room_id, &hidden] {
        let content = json!({"via": [server_of(host)]});
        let set = host.set_state(&space, "m.space.child", child, content);
        let event_id = text(&set.await.ok()["event_id"]);
        super::sees(guest, &space, &event_id).await;
    }
    let path = format!("/_matrix/client/v1/rooms/{}/hierarchy", encode(&space));
    let told = guest.get(&path).await.ok();
    let rooms = told["rooms"].as_array().expect("rooms");
    assert_eq!(rooms.len(), 2, "{told}");
    assert_eq!(rooms[1]["room_id"], room_id, "{told}");
    assert_eq!(rooms[1]["name"], name, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_before_somebody_came() {
    let (ours, theirs) = Pair::shared().await.users().await;
    let (host, guest) = (&ours, &theirs);
    let room_id = shared_room(host, guest, json!({})).await;
    comes(guest, |answer| {
        answer["rooms"]["join"][&room_id].is_object()
    })
    .await;
    let state = host.look(&room_id, "state").await.ok();
    let create = of_type(&state, "m.room.create");
    let path = format!(
        "/_matrix/client/v1/rooms/{}/timestamp_to_event?ts=0&dir=f",
        encode(&room_id)
    );
    for user in [host, guest] {
        let told = user.get(&path).await.ok();
        assert_eq!(told["event_id"], create["event_id"], "{told}");
    }
}
