//! Whose invites a user wants.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{props::user_path, stage::on_each_engine};
use crate::harness::{Client, client::encode};

const CONFIG: &str = "m.invite_permission_config";
const LISTS: &str = "org.matrix.msc4155.invite_permission_config";

async fn set(client: &Client, event_type: &str, content: Value) {
    let path = user_path(&client.user_id, &format!("account_data/{event_type}"));
    client.put(&path, content).await.ok();
}

async fn invite(from: &Client, room_id: &str, to: &Client) -> crate::harness::client::Answer {
    let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(room_id));
    from.post(&path, json!({"user_id": to.user_id})).await
}

async fn sees_invite(client: &Client, room_id: &str) -> bool {
    let answer = client.sync(None, "").await;
    answer["rooms"]["invite"].get(room_id).is_some()
}

/// Waits until an invite of somebody else's is told.
async fn comes_to_see_invite(client: &Client, room_id: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !sees_invite(client, room_id).await {
        assert!(Instant::now() < deadline, "the invite is never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_invites_who_blocks_all() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let before = anna.create_room(json!({})).await;
        invite(&anna, &before, &bert).await.ok();
        comes_to_see_invite(&bert, &before).await;
        set(&bert, CONFIG, json!({"default_action": "block"})).await;
        assert!(
            !sees_invite(&bert, &before).await,
            "what came before is hidden too"
        );
        let room_id = anna.create_room(json!({})).await;
        invite(&anna, &room_id, &bert)
            .await
            .refused(403, "M_INVITE_BLOCKED");
        let member = json!({"membership": "invite"});
        let by_hand = anna
            .set_state(&room_id, "m.room.member", &bert.user_id, member)
            .await;
        by_hand.refused(403, "M_INVITE_BLOCKED");
        let wish = json!({"invite": [bert.user_id]});
        let made = anna.post("/_matrix/client/v3/createRoom", wish).await;
        made.refused(403, "M_INVITE_BLOCKED");
        set(&bert, CONFIG, json!({})).await;
        invite(&anna, &room_id, &bert).await.ok();
        comes_to_see_invite(&bert, &room_id).await;
        comes_to_see_invite(&bert, &before).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_say_who_is_blocked_and_who_is_ignored() {
    on_each_engine(async |stage| {
        let [anna, bert, carl, dora] = stage.users(["anna", "bert", "carl", "dora"]).await;
        let lists = json!({
            "allowed_users": [anna.user_id], "ignored_users": [bert.user_id], "blocked_servers": ["play*.t??t"]
        });
        set(&dora, LISTS, lists).await;
        let mut rooms = Vec::new();
        for inviter in [&anna, &bert, &carl] {
            rooms.push(inviter.create_room(json!({})).await);
        }
        invite(&anna, &rooms[0], &dora).await.ok();
        invite(&bert, &rooms[1], &dora).await.ok();
        let refused = invite(&carl, &rooms[2], &dora).await;
        refused.refused(403, "ORG.MATRIX.MSC4155.M_INVITE_BLOCKED");
        comes_to_see_invite(&dora, &rooms[0]).await;
        assert!(!sees_invite(&dora, &rooms[1]).await, "ignored");
        // The inviter notices nothing.
        let path = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.member/{}",
            encode(&rooms[1]),
            encode(&dora.user_id)
        );
        assert_eq!(bert.get(&path).await.ok()["membership"], "invite");
        set(&dora, LISTS, json!({"enabled": false, "blocked_servers": ["*"]})).await;
        comes_to_see_invite(&dora, &rooms[1]).await;
        invite(&carl, &rooms[2], &dora).await.ok();
    })
    .await;
}
