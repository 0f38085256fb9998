//! What follows in rooms for the local users in them.

use std::time::Duration;

use bytes::Bytes;
use playhouse_schema::{address::Entity, port::Snapshot};
use ruma::{OwnedUserId, RoomId, RoomVersionId, UserId, events::room::member::MembershipState};
use serde_json::{Value, json};

use super::{JoinWish, NewAccount, PATIENCE, Preset, SendEvent, Trial, UpgradeWish, message};
use crate::user::{UserAnswer, UserCommand, UserError, UserQuery};

impl Trial {
    async fn data(&self, user_id: &UserId, room_id: Option<&RoomId>, event_type: &str) -> Value {
        let query = UserQuery::AccountData {
            room_id: room_id.map(RoomId::to_owned),
            event_type: event_type.to_owned(),
        };
        match self.house.user_query(user_id, query).await {
            Ok(UserAnswer::Json(json)) => serde_json::from_str(&json).unwrap(),
            Err(UserError::NotFound) => Value::Null,
            other => panic!("{other:?}"),
        }
    }

    async fn set_data(
        &self,
        user_id: &UserId,
        room_id: Option<&RoomId>,
        (event_type, content): (&str, Value),
    ) {
        let command = UserCommand::SetAccountData {
            room_id: room_id.map(RoomId::to_owned),
            event_type: event_type.to_owned(),
            content: Some(content.to_string()),
        };
        self.house.user_command(user_id, command).await.unwrap();
    }

    async fn guest(&self) -> OwnedUserId {
        let guest = NewAccount {
            guest: true,
            ..NewAccount::default()
        };
        self.house.register(guest).await.unwrap().user_id
    }

    async fn until_gone(&self, room_id: &RoomId, user_id: &UserId) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.membership(room_id, user_id).await == Some(MembershipState::Join) {
            let now = tokio::time::Instant::now();
            assert!(now < deadline, "{user_id} never left");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_leave_when_guest_access_is_withdrawn() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let guest = trial.guest().await;
    let room_id = trial
        .room(&alice, |room| room.preset = Some(Preset::PublicChat))
        .await;
    let open = state_event(
        &alice,
        "m.room.guest_access",
        json!({"guest_access": "can_join"}),
    );
    trial.send(&room_id, open).await;
    trial.join(&bob, &room_id).await.unwrap();
    let join = || JoinWish {
        user_id: guest.clone(),
        guest: true,
        room: room_id.clone().into(),
        via: Vec::new(),
        reason: None,
        extra_content: None,
    };
    trial.house.join(join()).await.unwrap();
    let close = state_event(
        &alice,
        "m.room.guest_access",
        json!({"guest_access": "forbidden"}),
    );
    trial.send(&room_id, close).await;
    trial.until_gone(&room_id, &guest).await;
    for member in [&alice, &bob] {
        let membership = trial.membership(&room_id, member).await;
        assert_eq!(membership, Some(MembershipState::Join));
    }
    trial.house.join(join()).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_leave_where_they_came_in_by_mistake() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let guest = trial.guest().await;
    let room_id = trial
        .room(&alice, |room| room.preset = Some(Preset::PublicChat))
        .await;
    trial.join(&bob, &room_id).await.unwrap();
    // As into a room of another server, whose guest access is only seen afterwards.
    trial.join(&guest, &room_id).await.unwrap();
    trial.until_gone(&room_id, &guest).await;
    let membership = trial.membership(&room_id, &bob).await;
    assert_eq!(membership, Some(MembershipState::Join));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_go_along_into_the_room_that_replaces_another() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let old = trial
        .room(&alice, |room| room.preset = Some(Preset::PublicChat))
        .await;
    trial.join(&bob, &old).await.unwrap();
    let tags = json!({"tags": {"m.favourite": {"order": 0.5}}});
    trial.set_data(&bob, Some(&old), ("m.tag", tags)).await;
    let direct = json!({"@alice:example.org": ["!other:example.org", old]});
    trial.set_data(&bob, None, ("m.direct", direct)).await;
    let rules = json!({"global": {
        "override": [{"rule_id": old, "actions": [], "default": false, "enabled": true,
            "conditions": [{"kind": "event_match", "key": "room_id", "pattern": old}]}],
        "room": [{"rule_id": old, "actions": ["notify"], "default": false, "enabled": true}],
    }});
    trial.set_data(&bob, None, ("m.push_rules", rules)).await;
    let wish = UpgradeWish {
        room_id: old.clone(),
        user_id: alice,
        version: RoomVersionId::V11,
        additional_creators: Vec::new(),
    };
    let new = trial.house.upgrade_room(wish).await.unwrap();
    trial.join(&bob, &new).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while trial.data(&bob, Some(&new), "m.tag").await.is_null() {
        assert!(tokio::time::Instant::now() < deadline, "never copied");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tags = trial.data(&bob, Some(&new), "m.tag").await;
    assert_eq!(tags["tags"]["m.favourite"]["order"], 0.5);
    let direct = trial.data(&bob, None, "m.direct").await;
    let chats = json!(["!other:example.org", old, new]);
    assert_eq!(direct["@alice:example.org"], chats);
    let rules = trial.data(&bob, None, "m.push_rules").await;
    for (kind, from) in [("override", 0), ("room", 0)] {
        let found = rules["global"][kind].as_array().unwrap();
        let of_room = |room_id: &RoomId| {
            found
                .iter()
                .position(|rule| rule["rule_id"] == room_id.as_str())
        };
        assert!(of_room(&new) >= Some(from) && of_room(&new) < of_room(&old));
    }
    // The rest is the user's own from here on: another member event brings nothing back.
    trial
        .set_data(&bob, Some(&new), ("m.tag", json!({"tags": {}})))
        .await;
    let name = Some("\"Robert\"".to_owned());
    let renamed = trial.house.set_profile_field(&bob, "displayname", name);
    renamed.await.unwrap();
    while !trial.state(&new, &bob).await.concat().contains("Robert") {
        assert!(tokio::time::Instant::now() < deadline, "never renamed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tags = trial.data(&bob, Some(&new), "m.tag").await;
    assert_eq!(tags, json!({"tags": {}}));
}

fn state_event(sender: &UserId, event_type: &str, content: Value) -> SendEvent {
    SendEvent {
        event_type: event_type.into(),
        state_key: Some(String::new()),
        content: content.to_string(),
        ..message(sender, "")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_folded_anew_forgets_its_snapshot_for_good() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let room_id = trial.room(&alice, |_| {}).await;
    let (entity, store) = (Entity::room(room_id.as_str()), trial.house.store());
    let wrong = Snapshot {
        sequence: 1,
        version: u32::MAX,
        payload: Bytes::from_static(b"wrong"),
    };
    store.save_snapshot(&entity, wrong).await.unwrap();
    let (before, after) = trial.house.refold_room(&room_id).await.unwrap();
    assert_eq!(before.sequence, after.sequence);
    assert!(store.load_snapshot(&entity).await.unwrap().is_none());
}
