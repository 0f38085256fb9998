//! What is said, taken back and shown.

use reqwest::Method;
use serde_json::{Value, json};

use super::{agree, both_ways, comes, encode, eventually, sees, shared_room};
use crate::{
    client::props::{of_type, room_path, text},
    harness::Client,
};

/// Waits until an event has lost its content.
async fn is_redacted(client: &Client, room_id: &str, event_id: &str) {
    let path = format!("event/{}", encode(event_id));
    eventually("not redacted", async || {
        let event = client.look(room_id, &path).await.body;
        if event["content"] == json!({}) {
            return Ok(());
        }
        Err(event.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redactions() {
    both_ways(async |host, guest| {
        for version in ["1", "10", "11", "12"] {
            let room_id = shared_room(host, guest, json!({"room_version": version})).await;
            let theirs = guest.say(&room_id, "slip").await;
            let other = guest.say(&room_id, "rude").await;
            let ours = host.say(&room_id, "secret").await;
            sees(host, &room_id, &other).await;
            sees(guest, &room_id, &ours).await;
            guest.redact(&room_id, &theirs).await;
            is_redacted(host, &room_id, &theirs).await;
            host.redact(&room_id, &other).await;
            host.redact(&room_id, &ours).await;
            for event_id in [&theirs, &other, &ours] {
                is_redacted(host, &room_id, event_id).await;
                is_redacted(guest, &room_id, event_id).await;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relations_and_strange_events() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        let root = host.say(&room_id, "root").await;
        sees(guest, &room_id, &root).await;
        let relation = json!({"rel_type": "m.annotation", "event_id": root, "key": "👍"});
        let reaction = json!({"m.relates_to": relation});
        let reacted = guest.send(&room_id, "m.reaction", reaction).await;
        sees(host, &room_id, &reacted).await;
        let path = format!(
            "/_matrix/client/v1/rooms/{}/relations/{}/m.annotation",
            encode(&room_id),
            encode(&root)
        );
        let told = host.get(&path).await.ok();
        assert_eq!(told["chunk"][0]["event_id"], reacted, "{told}");
        let odd = json!({"ü\u{1F600}": ["\u{0}\u{7f}\u{2028}", -9_007_199_254_740_991_i64, 0, null, {"": true}]});
        let there = guest.send(&room_id, "odd.type", odd.clone()).await;
        let back = host.send(&room_id, "odd.type", odd).await;
        sees(host, &room_id, &there).await;
        sees(guest, &room_id, &back).await;
        let wish = json!({"topic": "of both"});
        host.set_state(&room_id, "m.room.topic", "", wish).await.ok();
        let long = guest.say(&room_id, &"long ".repeat(12_000)).await;
        sees(host, &room_id, &long).await;
        super::same_state(host, guest, &room_id).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media() {
    both_ways(async |host, guest| {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let headers = [("content-type", "text/plain")];
        let path = "/_matrix/media/v3/upload?filename=letter.txt";
        let up = host.with_headers(Method::POST, path, &headers, bytes.clone());
        let uri = text(&up.await.ok()["content_uri"]);
        let name = uri.strip_prefix("mxc://").expect("a media URI");
        let path = format!("/_matrix/client/v1/media/download/{name}");
        let down = guest.get(&path).await;
        assert_eq!((down.status, down.bytes == bytes), (200, true));
        assert!(down.header("content-type").starts_with("text/plain"));
        assert!(down.header("content-disposition").contains("letter.txt"));
        let (server, _) = name.split_once('/').expect("a server name");
        let path = format!("/_matrix/client/v1/media/download/{server}/nothing");
        guest.get(&path).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles() {
    both_ways(async |host, guest| {
        let of = |user: &Client, rest: &str| {
            format!("/_matrix/client/v3/profile/{}{rest}", encode(&user.user_id))
        };
        let room_id = shared_room(host, guest, json!({})).await;
        let body = json!({"displayname": "Renée 🦀"});
        guest.put(&of(guest, "/displayname"), body).await.ok();
        let body = json!({"avatar_url": "mxc://somewhere/face"});
        guest.put(&of(guest, "/avatar_url"), body).await.ok();
        let path = room_path(
            &room_id,
            &format!("state/m.room.member/{}", encode(&guest.user_id)),
        );
        eventually("no new face", async || {
            let member = host.get(&path).await.ok();
            let is_new = member["displayname"] == "Renée 🦀"
                && member["avatar_url"] == "mxc://somewhere/face";
            if is_new {
                Ok(())
            } else {
                Err(member.to_string())
            }
        })
        .await;
        let told = host.get(&of(guest, "")).await.ok();
        assert_eq!(told["displayname"], "Renée 🦀");
        assert_eq!(told["avatar_url"], "mxc://somewhere/face");
        agree(host, guest, &room_id).await;
        let mut nobody = guest.clone();
        nobody.user_id = guest.user_id.replace('@', "@nobody");
        host.get(&of(&nobody, "")).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

/// The users who type, as a sync tells.
fn typing(answer: &Value, room_id: &str) -> Option<Value> {
    let events = &answer["rooms"]["join"][room_id]["ephemeral"]["events"];
    let event = events.is_array().then(|| of_type(events, "m.typing"))?;
    event
        .is_object()
        .then(|| event["content"]["user_ids"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_shows() {
    both_ways(async |host, guest| {
        let room_id = shared_room(host, guest, json!({})).await;
        let start = host.now().await;
        let path = room_path(&room_id, &format!("typing/{}", encode(&guest.user_id)));
        let body = json!({"typing": true, "timeout": 25_000});
        guest.put(&path, body).await.ok();
        let is = |wanted: Value| {
            let room_id = room_id.clone();
            move |answer: &Value| typing(answer, &room_id) == Some(wanted.clone())
        };
        let seen = host
            .sync_until(&start, "", is(json!([guest.user_id])))
            .await;
        guest.put(&path, json!({"typing": false})).await.ok();
        host.sync_until(&text(&seen["next_batch"]), "", is(json!([])))
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_shows() {
    both_ways(async |host, guest| {
        shared_room(host, guest, json!({})).await;
        let path = format!(
            "/_matrix/client/v3/presence/{}/status",
            encode(&guest.user_id)
        );
        for mood in ["at the sea", "in the hills"] {
            let body = json!({"presence": "unavailable", "status_msg": mood});
            guest.put(&path, body).await.ok();
            comes(host, |answer| {
                let events = answer["presence"]["events"].as_array();
                events.into_iter().flatten().any(|event| {
                    event["sender"] == guest.user_id.as_str()
                        && event["content"]["status_msg"] == mood
                })
            })
            .await;
        }
    })
    .await;
}
