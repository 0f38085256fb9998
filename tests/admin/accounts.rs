//! Accounts that administrators find, look into and enter.

use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{list, text, user_path},
        stage::{fresh, on_each_engine},
    },
    harness::client::encode,
};

const ADMIN: &str = "/_synapse/admin/v1";

fn of(user_id: &str, rest: &str) -> String {
    format!("{ADMIN}/users/{}/{rest}", encode(user_id))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_did_is_counted() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        anna.invite(&room_id, &bert).await;
        bert.join(&room_id).await;
        let other = anna.create_room(json!({})).await;
        anna.leave(&other).await;
        let told = boss.get(&of(&anna.user_id, "memberships")).await.ok();
        let wanted = json!({"memberships": {&room_id: "join", &other: "leave"}});
        assert_eq!(told, wanted);
        let count = async |user_id: &str, what: &str, since: &str| {
            let path = of(user_id, &format!("{what}?from_ts={since}"));
            boss.get(&path).await.ok()
        };
        let invites = count(&anna.user_id, "sent_invite_count", "0").await;
        assert_eq!(invites, json!({"invite_count": 1}));
        let invites = count(&anna.user_id, "sent_invite_count", "9999999999999").await;
        assert_eq!(invites, json!({"invite_count": 0}));
        let joined = count(&anna.user_id, "cumulative_joined_room_count", "0").await;
        assert_eq!(joined, json!({"cumulative_joined_room_count": 2}));
        let joined = count(&bert.user_id, "cumulative_joined_room_count", "0").await;
        assert_eq!(joined, json!({"cumulative_joined_room_count": 1}));
        for what in ["sent_invite_count", "cumulative_joined_room_count"] {
            let path = of(&anna.user_id, what);
            boss.get(&path).await.refused(400, "M_MISSING_PARAM");
            let path = format!("{path}?from_ts=0");
            anna.get(&path).await.refused(403, "M_FORBIDDEN");
        }
        let path = of(&anna.user_id, "memberships");
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_shown() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let own = |rest: &str| user_path(&anna.user_id, rest);
        let path = own("account_data/org.example.a");
        anna.put(&path, json!({"a": 1})).await.ok();
        let path = own(&format!(
            "rooms/{}/account_data/org.example.b",
            encode(&room_id)
        ));
        anna.put(&path, json!({"b": 2})).await.ok();
        let path = of(&anna.user_id, "accountdata");
        let told = boss.get(&path).await.ok()["account_data"].clone();
        assert_eq!(told["global"]["org.example.a"], json!({"a": 1}));
        assert!(told["global"]["m.push_rules"]["global"].is_object());
        assert_eq!(told["rooms"][&room_id]["org.example.b"], json!({"b": 2}));
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
        let unknown = of("@nobody:playhouse.test", "accountdata");
        boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_acts_for_a_user() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let path = of(&anna.user_id, "login");
        let whoami = "/_matrix/client/v3/account/whoami";
        let answer = boss.post(&path, json!({})).await.ok();
        let mut acting = boss.clone();
        acting.token = Some(text(&answer["access_token"]));
        let who = acting.get(whoami).await.ok();
        assert_eq!(who["user_id"], json!(anna.user_id));
        let devices = anna.get("/_matrix/client/v3/devices").await.ok();
        assert_eq!(list(&devices["devices"]).len(), 2);
        let answer = boss.post(&path, json!({"valid_until_ms": 1})).await.ok();
        acting.token = Some(text(&answer["access_token"]));
        let refused = acting.get(whoami).await.refused(401, "M_UNKNOWN_TOKEN");
        assert_eq!(refused["soft_logout"], true);
        let own = of(&boss.user_id, "login");
        boss.post(&own, json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
        anna.post(&path, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        let reset = of(
            &anna.user_id,
            "_allow_cross_signing_replacement_without_uia",
        );
        boss.post(&reset, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
        let devices = format!("/_synapse/admin/v2/users/{}/devices", encode(&anna.user_id));
        for _ in 0..2 {
            let answer = boss.post(&devices, json!({"device_id": "MADE"})).await;
            assert_eq!(answer.status, 201, "{}", answer.body);
        }
        let made = boss.get(&format!("{devices}/MADE")).await.ok();
        assert_eq!(made["device_id"], "MADE");
        boss.post(&devices, json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_found_by_what_is_theirs() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let name = fresh("carla");
        let user_id = format!("@{name}:playhouse.test");
        let free = format!("{ADMIN}/username_available?username={name}");
        assert_eq!(boss.get(&free).await.ok(), json!({"available": true}));
        let wish = json!({
            "threepids": [{"medium": "email", "address": format!("{name}@example.org")}],
            "external_ids": [{"auth_provider": "oidc", "external_id": name}]
        });
        let path = format!("/_synapse/admin/v2/users/{}", encode(&user_id));
        assert_eq!(boss.put(&path, wish).await.status, 201);
        boss.get(&free).await.refused(400, "M_USER_IN_USE");
        let by_mail = format!(
            "{ADMIN}/threepid/email/users/{}",
            encode(&format!("{}@Example.org", name))
        );
        let by_identity = format!("{ADMIN}/auth_providers/oidc/users/{name}");
        for path in [&by_mail, &by_identity] {
            assert_eq!(boss.get(path).await.ok(), json!({"user_id": user_id}));
            let unknown = path.replace(&*name, "nobody");
            boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
        }
        let search = format!("{ADMIN}/search_users/{}?term={name}", encode(&boss.user_id));
        let found = boss.get(&search).await.ok();
        assert_eq!(found[0]["name"], json!(user_id));
        assert_eq!(found[0]["password_hash"], Value::Null);
        let anna = stage.user("anna").await;
        for path in [free, by_mail, by_identity, search] {
            anna.get(&path).await.refused(403, "M_FORBIDDEN");
        }
        let validity = format!("{ADMIN}/account_validity/validity");
        let body = json!({"user_id": user_id});
        // Accounts do not end on this server.
        boss.post(&validity, body)
            .await
            .refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_space_is_told() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        for size in [3, 4] {
            let upload = anna.raw(Method::POST, "/_matrix/media/v3/upload", vec![7; size]);
            upload.await.expect("an answer").ok();
        }
        let (name, _) = anna.user_id.split_once(':').expect("a user ID");
        let term = encode(&format!("{name}:"));
        let path = format!("{ADMIN}/statistics/users/media?search_term={term}");
        for order in [
            "",
            "&order_by=media_length&dir=b",
            "&order_by=media_count&from_ts=1",
        ] {
            let told = boss.get(&format!("{path}{order}")).await.ok();
            assert_eq!(told["total"], 1, "{order}");
            let user = &told["users"][0];
            assert_eq!(user["user_id"], json!(anna.user_id));
            assert_eq!(
                (&user["media_count"], &user["media_length"]),
                (&json!(2), &json!(7))
            );
        }
        let none = boss.get(&format!("{path}&until_ts=2")).await.ok();
        assert_eq!(none, json!({"users": [], "total": 0}));
        for wrong in ["&order_by=weather", "&from_ts=5&until_ts=5"] {
            let path = format!("{path}{wrong}");
            boss.get(&path).await.refused(400, "M_INVALID_PARAM");
        }
        let room_id = anna.create_room(json!({})).await;
        anna.say(&room_id, "hello").await;
        let largest = format!("{ADMIN}/statistics/database/rooms");
        let told = boss.get(&largest).await.ok();
        assert!(
            told["rooms"][0]["estimated_size"].as_u64() > Some(0),
            "{told}"
        );
        anna.get(&largest).await.refused(403, "M_FORBIDDEN");
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}
