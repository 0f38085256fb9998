//! Who may do what, wherever they are.

use serde_json::json;

use super::{
    agree, both_ways, comes, encode, invited, is_gone, same_state, sees, sees_membership,
    server_of, shared_room, through,
};
use crate::{client::props::text, harness::Client};

#[tokio::test(flavor = "multi_thread")]
async fn kicked_and_banned() {
    both_ways(async |host, guest| {
        for version in ["10", "12"] {
            let room_id = shared_room(host, guest, json!({"room_version": version})).await;
            let body = json!({"user_id": guest.user_id, "reason": "noise"});
            for (action, membership) in [("kick", "leave"), ("ban", "ban")] {
                // Synapse's sync does not show a room before all of its state is there.
                same_state(host, guest, &room_id).await;
                host.act(&room_id, action, body.clone()).await.ok();
                is_gone(guest, "join", &room_id).await;
                sees_membership(host, &room_id, guest, membership).await;
                let path = format!("rooms/{}/send/m.room.message/x", encode(&room_id));
                let refused = guest
                    .put(
                        &format!("/_matrix/client/v3/{path}"),
                        json!({"msgtype": "m.text", "body": "x"}),
                    )
                    .await;
                refused.refused(403, "M_FORBIDDEN");
                if action == "kick" {
                    through(guest, "join", &room_id, host).await.ok();
                }
            }
            through(guest, "join", &room_id, host)
                .await
                .refused(403, "M_FORBIDDEN");
            let body = json!({"user_id": guest.user_id});
            host.act(&room_id, "unban", body).await.ok();
            through(guest, "join", &room_id, host).await.ok();
            let back = guest.say(&room_id, "back").await;
            sees(host, &room_id, &back).await;
            agree(host, guest, &room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guest_is_given_power() {
    both_ways(async |host, guest| {
        for version in ["6", "11", "12"] {
            let room_id = shared_room(host, guest, json!({"room_version": version})).await;
            let topic = json!({"topic": "by the guest"});
            guest
                .set_state(&room_id, "m.room.topic", "", topic.clone())
                .await
                .refused(403, "M_FORBIDDEN");
            let mut levels = host.look(&room_id, "state/m.room.power_levels").await.ok();
            levels["users"][&guest.user_id] = json!(50);
            let event_type = "m.room.power_levels";
            let set = host.set_state(&room_id, event_type, "", levels).await.ok();
            sees(guest, &room_id, &text(&set["event_id"])).await;
            let set = guest.set_state(&room_id, "m.room.topic", "", topic).await;
            sees(host, &room_id, &text(&set.ok()["event_id"])).await;
            agree(host, guest, &room_id).await;
        }
    })
    .await;
}

/// Sets who may take part, and waits until the guest's server knows.
async fn allow(host: &Client, guest: &Client, room_id: &str, denied: &[&str]) {
    let content = json!({"allow": ["*"], "deny": denied, "allow_ip_literals": true});
    let set = host.set_state(room_id, "m.room.server_acl", "", content);
    sees(guest, room_id, &text(&set.await.ok()["event_id"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_shut_out_of_a_room() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        let elsewhere = shared_room(host, guest, json!({})).await;
        allow(host, guest, &room_id, &[server_of(guest)]).await;
        let unheard = guest.say(&room_id, "unheard").await;
        let heard = guest.say(&elsewhere, "heard").await;
        sees(host, &elsewhere, &heard).await;
        let path = format!("event/{}", encode(&unheard));
        host.look(&room_id, &path).await.refused(404, "M_NOT_FOUND");
        allow(host, guest, &room_id, &[]).await;
        let again = guest.say(&room_id, "again").await;
        sees(host, &room_id, &again).await;
        same_state(host, guest, &room_id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_upgraded() {
    both_ways(async |host, guest| {
        for (old, new) in [("1", "10"), ("11", "12")] {
            let room_id = shared_room(host, guest, json!({"room_version": old})).await;
            let wish = json!({"new_version": new});
            let refused = guest.act(&room_id, "upgrade", wish.clone()).await;
            assert_eq!(refused.status, 403, "{}", refused.body);
            let made = host.act(&room_id, "upgrade", wish).await.ok();
            let next = text(&made["replacement_room"]);
            comes(guest, |answer| {
                let room = answer["rooms"]["join"][&room_id].to_string();
                room.contains("m.room.tombstone") && room.contains(&next)
            })
            .await;
            through(guest, "join", &next, host).await.ok();
            let there = guest.say(&next, "there").await;
            sees(host, &next, &there).await;
            agree(host, guest, &next).await;
            agree(host, guest, &room_id).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_brings_a_guest() {
    both_ways(async |host, guest| {
        let room_id = host.create_room(json!({"preset": "private_chat"})).await;
        host.invite(&room_id, guest).await;
        invited(guest, &room_id).await;
        guest.join(&room_id).await;
        // Somebody else of the host's server, who knows of the room only by the guest's invite.
        let third = Client::register(host.base(), &crate::client::stage::fresh("carl")).await;
        guest.invite(&room_id, &third).await;
        invited(&third, &room_id).await;
        third.join(&room_id).await;
        let hello = third.say(&room_id, "hello").await;
        sees(guest, &room_id, &hello).await;
        agree(&third, guest, &room_id).await;
    })
    .await;
}
