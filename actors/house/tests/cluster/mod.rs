//! Several houses over one log in memory, with a wire between them.

// The checker of what clients of real nodes are told. It stands with their tests, and knows nothing of them.
#[path = "../../../../tests/cluster/checker/mod.rs"]
mod checker;
mod flow;
mod moving;
mod planted;
mod pushing;
mod roles;
mod sending;
mod town;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use self::town::{Client, Node, Town, until};
use super::{message, wish_of};
use crate::house::{House, HouseError, JoinWish};

async fn make_room(house: &House, creator: &OwnedUserId) -> OwnedRoomId {
    let wish = wish_of(creator);
    house.create_room(wish).await.unwrap().room_id
}

async fn join(house: &House, user_id: &OwnedUserId, room_id: &OwnedRoomId) {
    let wish = JoinWish {
        user_id: user_id.clone(),
        guest: false,
        room: room_id.clone().into(),
        via: Vec::new(),
        reason: None,
        extra_content: None,
    };
    house.join(wish).await.unwrap();
}

async fn say(
    house: &House,
    sender: &OwnedUserId,
    room_id: &OwnedRoomId,
    body: &str,
) -> Result<OwnedEventId, HouseError> {
    house.send_event(room_id, message(sender, body)).await
}
