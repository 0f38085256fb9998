//! Into each other's rooms, by each way, in every version, and out of them.

use serde_json::json;

use super::{
    agree, alias, both_ways, invited, is_gone, sees, sees_membership, shared_room, through,
};
use crate::{
    client::{props::types, stage::fresh},
    harness::Client,
};

/// They talk, and both have the same in the end.
async fn talk(host: &Client, guest: &Client, room_id: &str) {
    let welcome = host.say(room_id, "welcome").await;
    sees(guest, room_id, &welcome).await;
    let thanks = guest.say(room_id, "thank you").await;
    sees(host, room_id, &thanks).await;
    agree(host, guest, room_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_alias_in_every_version() {
    both_ways(async |host, guest| {
        for version in ["1", "6", "10", "11", "12"] {
            let name = fresh("square");
            let wish =
                json!({"preset": "public_chat", "room_version": version, "room_alias_name": name});
            let room_id = host.create_room(wish).await;
            host.say(&room_id, "before").await;
            guest.join(&alias(host, &name)).await;
            talk(host, guest, &room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_invite() {
    both_ways(async |host, guest| {
        for version in ["1", "6", "11", "12"] {
            let wish = json!({"preset": "private_chat", "name": "Den", "room_version": version});
            let room_id = host.create_room(wish).await;
            through(guest, "join", &room_id, host)
                .await
                .refused(403, "M_FORBIDDEN");
            host.invite(&room_id, guest).await;
            let told = types(&invited(guest, &room_id).await);
            for wanted in [
                "m.room.create",
                "m.room.name",
                "m.room.join_rules",
                "m.room.member",
            ] {
                assert!(told.iter().any(|told| told == wanted), "{told:?}");
            }
            guest.leave(&room_id).await;
            sees_membership(host, &room_id, guest, "leave").await;
            host.invite(&room_id, guest).await;
            invited(guest, &room_id).await;
            guest.join(&room_id).await;
            talk(host, guest, &room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_taken_back() {
    both_ways(async |host, guest| {
        let room_id = host.create_room(json!({"preset": "private_chat"})).await;
        host.invite(&room_id, guest).await;
        invited(guest, &room_id).await;
        let body = json!({"user_id": guest.user_id});
        host.act(&room_id, "kick", body).await.ok();
        is_gone(guest, "invite", &room_id).await;
        let refused = through(guest, "join", &room_id, host).await;
        refused.refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_one_room_may_join_another() {
    both_ways(async |host, guest| {
        let club = host.create_room(json!({"preset": "public_chat"})).await;
        let mut rooms = Vec::new();
        for (version, rule) in [
            ("8", "restricted"),
            ("10", "knock_restricted"),
            ("12", "restricted"),
        ] {
            let allow = json!([{"type": "m.room_membership", "room_id": club}]);
            let content = json!({"join_rule": rule, "allow": allow});
            let rules = json!({"type": "m.room.join_rules", "content": content});
            let wish = json!({"room_version": version, "initial_state": [rules]});
            let room_id = host.create_room(wish).await;
            let refused = through(guest, "join", &room_id, host).await;
            assert_eq!(refused.status, 403, "{version}: {}", refused.body);
            rooms.push(room_id);
        }
        through(guest, "join", &club, host).await.ok();
        for room_id in rooms {
            through(guest, "join", &room_id, host).await.ok();
            talk(host, guest, &room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_knocking() {
    both_ways(async |host, guest| {
        for version in ["7", "11", "12"] {
            let rules = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
            let wish = json!({"name": "Door", "room_version": version, "initial_state": [rules]});
            let room_id = host.create_room(wish).await;
            through(guest, "knock", &room_id, host).await.ok();
            sees_membership(host, &room_id, guest, "knock").await;
            let told = super::comes(guest, |answer| {
                answer["rooms"]["knock"][&room_id].is_object()
            })
            .await;
            let told = types(&told["rooms"]["knock"][&room_id]["knock_state"]["events"]);
            assert!(told.iter().any(|told| told == "m.room.name"), "{told:?}");
            host.invite(&room_id, guest).await;
            invited(guest, &room_id).await;
            guest.join(&room_id).await;
            talk(host, guest, &room_id).await;
        }
    })
    .await;
}

/// In one direction only: Synapse tells nobody that a knock is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_knock_is_taken_back() {
    let (ours, theirs) = super::Pair::shared().await.users().await;
    let rules = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
    let wish = json!({"initial_state": [rules]});
    let room_id = theirs.create_room(wish).await;
    for _ in 0..2 {
        through(&ours, "knock", &room_id, &theirs).await.ok();
        sees_membership(&theirs, &room_id, &ours, "knock").await;
        ours.leave(&room_id).await;
        sees_membership(&theirs, &room_id, &ours, "leave").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_and_in_again() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        talk(host, guest, &room_id).await;
        guest.leave(&room_id).await;
        sees_membership(host, &room_id, guest, "leave").await;
        for line in 0..5 {
            host.say(&room_id, &format!("gone {line}")).await;
        }
        through(guest, "join", &room_id, host).await.ok();
        talk(host, guest, &room_id).await;
    })
    .await;
}
