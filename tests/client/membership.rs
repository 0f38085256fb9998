//! Joining, knocking, inviting, kicking, banning, leaving, forgetting.

use serde_json::{Value, json};

use super::{
    props::{list, members, room_path, texts},
    stage::{Stage, on_each_engine},
};
use crate::harness::{
    Client,
    client::{Answer, encode},
};

async fn try_join(client: &Client, room_id: &str) -> Answer {
    let path = format!("/_matrix/client/v3/join/{}", encode(room_id));
    client.post(&path, json!({})).await
}

fn join_rule(content: Value) -> Value {
    json!({"type": "m.room.join_rules", "state_key": "", "content": content})
}

async fn membership(observer: &Client, room_id: &str, user: &Client) -> String {
    let rest = format!("state/m.room.member/{}", encode(&user.user_id));
    let content = observer.look(room_id, &rest).await.ok();
    content["membership"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn named(user: &Client) -> Value {
    json!({"user_id": user.user_id, "reason": "because"})
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_join_follows_from_the_rule() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let public = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&public).await;
        // Who is in is in: joining again does nothing.
        bert.join(&public).await;
        let history = Value::Array(anna.history(&public).await);
        let joins = members(&history)
            .into_iter()
            .filter(|user| *user == bert.user_id);
        assert_eq!(joins.count(), 1);
        for rule in ["invite", "private", "org.example.unheard_of"] {
            let rule = join_rule(json!({ "join_rule": rule }));
            let room_id = anna.create_room(json!({"initial_state": [rule]})).await;
            try_join(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
            let knock = format!("/_matrix/client/v3/knock/{}", encode(&room_id));
            bert.post(&knock, json!({}))
                .await
                .refused(403, "M_FORBIDDEN");
            if rule["content"]["join_rule"] == "invite" {
                anna.invite(&room_id, &bert).await;
                bert.join(&room_id).await;
            }
        }
        try_join(&bert, "!unknown:playhouse.test")
            .await
            .refused(404, "M_NOT_FOUND");
        try_join(&bert, "nonsense")
            .await
            .refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_rooms_let_members_of_others_in() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        for version in ["8", "10", "12"] {
            let space = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&space).await;
            let allow = json!([{"type": "m.room_membership", "room_id": space}]);
            let rule = join_rule(json!({"join_rule": "restricted", "allow": allow}));
            let room_id = anna
                .create_room(json!({"room_version": version, "initial_state": [rule]}))
                .await;
            bert.join(&room_id).await;
            let rest = format!("state/m.room.member/{}", encode(&bert.user_id));
            let content = bert.look(&room_id, &rest).await.ok();
            assert_eq!(content["join_authorised_via_users_server"], *anna.user_id);
            try_join(&carl, &room_id).await.refused(403, "M_FORBIDDEN");
            // An invitation opens it too, and the conditions count at the time of joining only.
            anna.invite(&room_id, &carl).await;
            carl.join(&room_id).await;
            bert.leave(&space).await;
            bert.say(&room_id, "still here").await;
            bert.leave(&room_id).await;
            try_join(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn knocks_are_answered_or_withdrawn() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        for (version, rule) in [("7", "knock"), ("10", "knock_restricted"), ("12", "knock")] {
            let rule = join_rule(json!({"join_rule": rule, "allow": []}));
            let room_id = anna
                .create_room(json!({"room_version": version, "initial_state": [rule]}))
                .await;
            let path = format!("/_matrix/client/v3/knock/{}", encode(&room_id));
            bert.post(&path, json!({"reason": "please"})).await.ok();
            assert_eq!(membership(&anna, &room_id, &bert).await, "knock");
            try_join(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
            bert.leave(&room_id).await;
            assert_eq!(membership(&anna, &room_id, &bert).await, "leave");
            bert.post(&path, json!({})).await.ok();
            anna.act(&room_id, "kick", named(&bert)).await.ok();
            bert.post(&path, json!({})).await.ok();
            anna.invite(&room_id, &bert).await;
            bert.join(&room_id).await;
            bert.post(&path, json!({}))
                .await
                .refused(403, "M_FORBIDDEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inviting_kicking_banning() {
    on_each_engine(async |stage| {
        let [anna, bert, carl] = stage.users(["anna", "bert", "carl"]).await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        bert.act(&room_id, "invite", named(&carl))
            .await
            .refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "invite", named(&bert)).await.ok();
        // Inviting again is no harm; inviting somebody who is in is refused.
        anna.invite(&room_id, &bert).await;
        bert.join(&room_id).await;
        anna.act(&room_id, "invite", named(&bert))
            .await
            .refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "kick", named(&carl))
            .await
            .refused(403, "M_FORBIDDEN");
        bert.act(&room_id, "kick", named(&anna))
            .await
            .refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "kick", named(&bert)).await.ok();
        let rest = format!("state/m.room.member/{}", encode(&bert.user_id));
        let content = anna.look(&room_id, &rest).await.ok();
        assert_eq!(content, json!({"membership": "leave", "reason": "because"}));
        try_join(&bert, &room_id).await.refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "ban", named(&bert)).await.ok();
        assert_eq!(membership(&anna, &room_id, &bert).await, "ban");
        anna.act(&room_id, "invite", named(&bert))
            .await
            .refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "unban", named(&carl))
            .await
            .refused(403, "M_FORBIDDEN");
        anna.act(&room_id, "unban", named(&bert)).await.ok();
        assert_eq!(membership(&anna, &room_id, &bert).await, "leave");
        anna.invite(&room_id, &bert).await;
        bert.join(&room_id).await;
        let missing = anna.act(&room_id, "kick", json!({})).await;
        assert_eq!(missing.status, 400, "{}", missing.body);
        let odd = anna
            .act(&room_id, "ban", json!({"user_id": "nobody"}))
            .await;
        assert_eq!(odd.status, 400, "{}", odd.body);
        // Somebody who was never there can be banned too.
        anna.act(&room_id, "ban", named(&carl)).await.ok();
        try_join(&carl, &room_id).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

/// The list of a user's rooms.
async fn joined(client: &Client) -> Value {
    let told = client.get("/_matrix/client/v3/joined_rooms").await.ok();
    told["joined_rooms"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_come_is_told_so_at_once() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let mut rooms = Vec::new();
        for _ in 0..20 {
            let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
            bert.join(&room_id).await;
            rooms.push(room_id);
            rooms.sort();
            assert_eq!(joined(&anna).await, json!(rooms));
            assert_eq!(joined(&bert).await, json!(rooms));
        }
        for left in (0..20).rev() {
            bert.leave(&rooms[left]).await;
            assert_eq!(joined(&bert).await, json!(rooms[..left]));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_and_forgetting() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.act(&room_id, "leave", json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        bert.join(&room_id).await;
        assert_eq!(joined(&bert).await, json!([room_id]));
        bert.act(&room_id, "forget", json!({}))
            .await
            .refused(400, "M_UNKNOWN");
        bert.act(&room_id, "leave", json!({"reason": "tired"}))
            .await
            .ok();
        // One cannot leave what one has left.
        bert.act(&room_id, "leave", json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        assert!(bert.look(&room_id, "messages?dir=b").await.status == 200);
        bert.act(&room_id, "forget", json!({})).await.ok();
        bert.look(&room_id, "messages?dir=b")
            .await
            .refused(403, "M_FORBIDDEN");
        assert_eq!(joined(&bert).await, json!([]));
        bert.join(&room_id).await;
        bert.say(&room_id, "back").await;
        assert_eq!(bert.look(&room_id, "messages?dir=b").await.status, 200);
    })
    .await;
}

/// Three users: one in, one invited, one gone.
async fn company(stage: &Stage) -> ([Client; 4], String) {
    let users = stage.users(["anna", "bert", "carl", "dora"]).await;
    let [anna, bert, carl, dora] = &users;
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    bert.join(&room_id).await;
    dora.join(&room_id).await;
    dora.leave(&room_id).await;
    anna.invite(&room_id, carl).await;
    (users, room_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed() {
    on_each_engine(async |stage| {
        let ([anna, bert, carl, dora], room_id) = company(stage).await;
        let listed = async |query: &str| {
            let answer = anna.look(&room_id, &format!("members{query}")).await.ok();
            members(&answer["chunk"])
        };
        let sorted = |users: &[&Client]| {
            let mut ids: Vec<_> = users.iter().map(|user| user.user_id.clone()).collect();
            ids.sort();
            ids
        };
        assert_eq!(listed("").await, sorted(&[&anna, &bert, &carl, &dora]));
        assert_eq!(listed("?membership=join").await, sorted(&[&anna, &bert]));
        assert_eq!(listed("?membership=invite").await, sorted(&[&carl]));
        assert_eq!(
            listed("?not_membership=leave").await,
            sorted(&[&anna, &bert, &carl])
        );
        let joined = anna.look(&room_id, "joined_members").await.ok();
        let mut ids: Vec<_> = joined["joined"]
            .as_object()
            .expect("users")
            .keys()
            .cloned()
            .collect();
        ids.sort();
        assert_eq!(ids, sorted(&[&anna, &bert]));
        // At an earlier point of the timeline.
        anna.now_in(&room_id).await;
        let before = anna.sync(None, "").await;
        let at = &before["rooms"]["join"][&room_id]["timeline"]["prev_batch"];
        assert!(at.is_string());
        let answer = anna.look(&room_id, "messages?dir=b&limit=1").await.ok();
        let end = answer["end"].as_str().expect("a token").to_owned();
        bert.leave(&room_id).await;
        let then = listed(&format!("?membership=join&at={}", encode(&end))).await;
        assert_eq!(then, sorted(&[&anna, &bert]));
        assert_eq!(listed("?membership=join").await, sorted(&[&anna]));
        for what in ["members", "joined_members", "state"] {
            let stranger = carl.look(&room_id, what).await;
            stranger.refused(403, "M_FORBIDDEN");
        }
        let odd = anna.look(&room_id, "members?at=nonsense").await;
        odd.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_left_sees_the_room_as_it_was() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna
            .create_room(json!({"preset": "public_chat", "name": "Then"}))
            .await;
        bert.join(&room_id).await;
        anna.say(&room_id, "before").await;
        bert.leave(&room_id).await;
        anna.say(&room_id, "after").await;
        anna.set_state(&room_id, "m.room.name", "", json!({"name": "Now"}))
            .await
            .ok();
        let name = bert.look(&room_id, "state/m.room.name/").await.ok();
        assert_eq!(name["name"], "Then");
        let state = bert.look(&room_id, "state").await.ok();
        assert!(texts(&state, "/content/name").contains(&"Then".to_owned()));
        let page = bert.look(&room_id, "messages?dir=b&limit=50").await.ok();
        let bodies = texts(&page["chunk"], "/content/body");
        assert_eq!(bodies, ["before"]);
        assert_eq!(list(&page["chunk"])[0]["state_key"], *bert.user_id);
        let path = room_path(&room_id, "send/m.room.message/gone");
        bert.put(&path, json!({"body": "hello?"}))
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}
