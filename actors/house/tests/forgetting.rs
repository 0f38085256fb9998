//! Forgotten rooms, and what a sync tells of them.

use ruma::{RoomId, UserId};
use serde_json::Value;

use super::{MemberWish, Trial};
use crate::user::message::SyncQuery;

impl Trial {
    async fn leave(&self, room_id: &RoomId, user_id: &UserId) {
        let leave = MemberWish::of_oneself(room_id, user_id);
        self.house.leave(leave).await.unwrap();
    }

    /// Syncs until `holds`, with left rooms.
    async fn sync_until(
        &self,
        user_id: &UserId,
        since: Option<&Value>,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut since = since.and_then(Value::as_str).map(str::to_owned);
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            let query = SyncQuery {
                device_id: "D".into(),
                since: since.clone(),
                filter: Some(r#"{"room":{"include_leave":true}}"#.to_owned()),
                full_state: false,
                set_presence: None,
                timeout_ms: 100,
                state_after: false,
            };
            let body = self.house.sync(user_id, query).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            if holds(&body) {
                return body;
            }
            assert!(tokio::time::Instant::now() < deadline, "never: {body}");
            if since.is_some() {
                since = body["next_batch"].as_str().map(str::to_owned);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_needs_having_left() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let room_id = trial.room(&alice, |_| {}).await;
    assert!(trial.house.forget(&room_id, &alice).await.is_err());
    trial.leave(&room_id, &alice).await;
    trial.house.forget(&room_id, &alice).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_left_again_is_not_forgotten() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let room_id = trial.room(&alice, |_| {}).await;
    let section = |name: &'static str| {
        let room_id = room_id.clone();
        move |sync: &Value| sync["rooms"][name][room_id.as_str()].is_object()
    };
    let nowhere = |sync: &Value| !section("leave")(sync) && !section("join")(sync);
    trial.join(&bob, &room_id).await.unwrap();
    let first = trial.sync_until(&bob, None, section("join")).await;
    trial.leave(&room_id, &bob).await;
    let token = &first["next_batch"];
    trial.sync_until(&bob, Some(token), section("leave")).await;
    trial.house.forget(&room_id, &bob).await.unwrap();
    trial.sync_until(&bob, None, nowhere).await;
    trial.join(&bob, &room_id).await.unwrap();
    let joined = trial.sync_until(&bob, None, section("join")).await;
    trial.leave(&room_id, &bob).await;
    let token = &joined["next_batch"];
    trial.sync_until(&bob, Some(token), section("leave")).await;
    // Any record of the user makes the feed look at what is forgotten.
    let name = Some("\"Robert\"".to_owned());
    let renamed = trial.house.set_profile_field(&bob, "displayname", name);
    renamed.await.unwrap();
    trial.sync_until(&bob, None, section("leave")).await;
    let trial = trial.restart().await;
    trial.sync_until(&bob, None, section("leave")).await;
    trial.house.forget(&room_id, &bob).await.unwrap();
    trial.sync_until(&bob, None, nowhere).await;
}
