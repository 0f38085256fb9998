//! What operators may want of other servers: which they are, what they are told, and which of their rooms are joined.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{
        Client, Peers, TestServer,
        client::{Answer, encode},
        peer::ask_as,
        script::Reply,
    },
};

const NEAR: &str = "near.test";
const FAR: &str = "far.test";

async fn with_peers(wishes: &[(&str, &str)], play: impl AsyncFn(&mut TestServer, &Peers)) {
    let peers = Peers::start(&[NEAR, FAR]).await;
    let environment = peers.environment();
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(wishes.iter().copied())
        .collect();
    on_own_servers(&environment, async |server| play(server, &peers).await).await;
}

async fn join(client: &Client, room_id: &str, server: &str) -> Answer {
    let path = format!("/_matrix/client/v3/join/{}?via={server}", encode(room_id));
    client.post(&path, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_chosen_by_name() {
    let wishes = [
        ("PLAYHOUSE_FEDERATION_ALLOW_SERVERS", "*.test"),
        ("PLAYHOUSE_FEDERATION_DENY_SERVERS", "FAR.test"),
        ("PLAYHOUSE_FEDERATION_TELL_CLIENTS", "true"),
    ];
    with_peers(&wishes, async |server, peers| {
        let anna = server.register("anna").await;
        let alias = encode("#nothing:playhouse.test");
        let path = format!("/_matrix/federation/v1/query/directory?room_alias={alias}");
        let asked = async |name| ask_as(name, &anna, (Method::GET, &path), None).await;
        asked(NEAR).await.refused(404, "M_NOT_FOUND");
        asked(FAR).await.refused(403, "M_FORBIDDEN");
        asked("elsewhere.org").await.refused(403, "M_FORBIDDEN");
        peers.follow(|asked| {
            let is_denied = asked.name == FAR;
            is_denied.then(|| panic!("{} is asked for {}", asked.name, asked.path))
        });
        let denied = join(&anna, "!room:far.test", FAR).await;
        denied.refused(403, "M_FORBIDDEN");
        let told = anna
            .get("/_synapse/client/v1/config/federation_whitelist")
            .await
            .ok();
        assert_eq!(
            told,
            json!({"whitelist_enabled": true, "whitelist": ["*.test"]})
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_are_not_for_everybody() {
    let wishes = [
        ("PLAYHOUSE_FEDERATION_TELL_PROFILES", "false"),
        ("PLAYHOUSE_LIMITS_PROFILES_OF_SHARED_ROOMS_ONLY", "true"),
    ];
    with_peers(&wishes, async |server, _peers| {
        let [anna, bert, carl] = [
            server.register("anna").await,
            server.register("bert").await,
            server.register("carl").await,
        ];
        let user = encode(&anna.user_id);
        let path = format!("/_matrix/federation/v1/query/profile?user_id={user}");
        let asked = ask_as(NEAR, &anna, (Method::GET, &path), None).await;
        asked.refused(403, "M_FORBIDDEN");
        let name = format!("/_matrix/client/v3/profile/{user}/displayname");
        let named = anna.put(&name, json!({"displayname": "Anna"}));
        named.await.ok();
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let path = format!("/_matrix/client/v3/profile/{user}");
        let deadline = Instant::now() + Duration::from_secs(120);
        // Who shares a room with whom is known a little later.
        while bert.get(&path).await.status != 200 {
            assert!(Instant::now() < deadline, "they share a room");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for rest in ["", "/displayname"] {
            let path = format!("/_matrix/client/v3/profile/{user}{rest}");
            anna.get(&path).await.ok();
            bert.get(&path).await.ok();
            carl.get(&path).await.refused(403, "M_FORBIDDEN");
            let nobody = server.client().get(&path).await;
            nobody.refused(401, "M_MISSING_TOKEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_rooms_elsewhere_are_not_joined() {
    let wishes = [
        ("PLAYHOUSE_ROOMS_REMOTE_STATE_EVENTS_MAX", "1000"),
        ("PLAYHOUSE_ROOMS_REMOTE_TOO_LARGE", "far too large"),
    ];
    with_peers(&wishes, async |server, peers| {
        peers.follow(|asked| {
            let is_large = asked.path.contains("large") && asked.path.ends_with("/complexity");
            let is_small = asked.path.contains("small") && asked.path.ends_with("/complexity");
            match (is_large, is_small) {
                (true, _) => Some(Reply::Json(200, json!({"v1": 2.1}))),
                (_, true) => Some(Reply::Json(200, json!({"v1": 1.9}))),
                _ => None,
            }
        });
        let anna = server.register("anna").await;
        let refused = join(&anna, "!large:near.test", NEAR).await;
        let told = refused.refused(400, "M_RESOURCE_LIMIT_EXCEEDED");
        assert_eq!(text(&told["error"]), "far too large");
        // The others are asked for; these servers only play.
        for room_id in ["!small:near.test", "!unknown:near.test"] {
            let refused = join(&anna, room_id, NEAR).await;
            assert_ne!(refused.body["errcode"], "M_RESOURCE_LIMIT_EXCEEDED");
        }
    })
    .await;
}
