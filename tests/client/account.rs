//! Accounts and sessions: registering, logging in and out, tokens, devices, passwords, closing.

use serde_json::{Value, json};

use super::{
    props::{list, text, texts},
    stage::{fresh, on_each_engine, on_own_servers},
};
use crate::harness::{Client, client::Answer};

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const PASSWORD: &str = "correct horse";

fn password_of(user: &str, password: &str) -> Value {
    json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password})
}

async fn log_in(client: &Client, user: &str, password: &str, further: Value) -> Answer {
    let mut body = password_of(user, password);
    let further = further.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(further);
    client.nobody().post(LOGIN, body).await
}

/// Does something that asks for the password: the 401 first, then the same with the password.
async fn with_password(client: &Client, path: &str, mut body: Value, password: &str) -> Answer {
    let asked = client.post(path, body.clone()).await;
    assert_eq!(asked.status, 401, "{}", asked.body);
    assert!(asked.body.get("errcode").is_none(), "{}", asked.body);
    let stages = &asked.body["flows"][0]["stages"];
    assert_eq!(*stages, json!(["m.login.password"]));
    body["auth"] = password_of(&client.user_id, password);
    body["auth"]["session"] = asked.body["session"].clone();
    client.post(path, body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_asks_for_its_stage_and_says_what_is_wrong() {
    on_each_engine(async |stage| {
        let nobody = stage.client();
        let name = fresh("nina");
        let body = json!({"username": name, "password": PASSWORD});
        let asked = nobody.post(REGISTER, body.clone()).await;
        assert_eq!(asked.status, 401);
        assert_eq!(asked.body["flows"], json!([{"stages": ["m.login.dummy"]}]));
        let mut complete = body.clone();
        complete["auth"] = json!({"type": "m.login.dummy", "session": asked.body["session"]});
        complete["initial_device_display_name"] = json!("Phone");
        complete["device_id"] = json!("PHONE");
        let made = nobody.post(REGISTER, complete.clone()).await.ok();
        assert_eq!(made["user_id"], format!("@{name}:playhouse.test"));
        assert_eq!(made["device_id"], "PHONE");
        let nina = nobody.clone().with_session(&made);
        let device = nina.get("/_matrix/client/v3/devices/PHONE").await.ok();
        assert_eq!(device["display_name"], "Phone");
        let again = nobody.post(REGISTER, body).await;
        again.refused(400, "M_USER_IN_USE");
        let available = |name: &str| format!("{REGISTER}/available?username={name}");
        nobody.get(&available(&name)).await.refused(400, "M_USER_IN_USE");
        nobody.get(&available("with%20space")).await.refused(400, "M_INVALID_USERNAME");
        assert_eq!(nobody.get(&available(&fresh("free"))).await.ok()["available"], true);
        for bad in ["with space", "ümlaut", "_bridge", &"x".repeat(300)] {
            let body = json!({"username": bad, "password": PASSWORD, "auth": {"type": "m.login.dummy"}});
            nobody.post(REGISTER, body).await.refused(400, "M_INVALID_USERNAME");
        }
        let weak = json!({"username": fresh("w"), "password": "short", "auth": {"type": "m.login.dummy"}});
        nobody.post(REGISTER, weak).await.refused(400, "M_WEAK_PASSWORD");
        let quiet = json!({"username": fresh("q"), "password": PASSWORD, "inhibit_login": true, "auth": {"type": "m.login.dummy"}});
        let quiet = nobody.post(REGISTER, quiet).await.ok();
        assert!(quiet.get("access_token").is_none() && quiet.get("device_id").is_none());
        let guest = format!("{REGISTER}?kind=guest");
        nobody.post(&guest, json!({})).await.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
        let unknown = json!({"username": fresh("u"), "password": PASSWORD, "auth": {"type": "m.login.magic"}});
        assert_eq!(nobody.post(REGISTER, unknown).await.status, 401);
        let gone = json!({"username": fresh("u"), "password": PASSWORD, "auth": {"type": "m.login.dummy", "session": "gone"}});
        assert!([400, 401].contains(&nobody.post(REGISTER, gone).await.status));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoami_and_tokens() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let told = anna.get(WHOAMI).await.ok();
        assert_eq!(told["user_id"], *anna.user_id);
        assert_eq!(told["device_id"], *anna.device_id);
        assert_ne!(told["is_guest"], true);
        stage
            .client()
            .get(WHOAMI)
            .await
            .refused(401, "M_MISSING_TOKEN");
        let mut wrong = stage.client();
        wrong.token = Some("nonsense".to_owned());
        let refused = wrong.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        assert_ne!(refused["soft_logout"], true);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_with_a_password() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let flows = stage.client().get(LOGIN).await.ok();
        assert!(texts(&flows["flows"], "/type").contains(&"m.login.password".to_owned()));
        let localpart = anna.user_id[1..].split(':').next().expect("a local part");
        for user in [localpart, &anna.user_id] {
            let session = log_in(&anna, user, PASSWORD, json!({})).await.ok();
            assert_eq!(session["user_id"], *anna.user_id);
        }
        let wrong = log_in(&anna, localpart, "wrong", json!({})).await;
        wrong.refused(403, "M_FORBIDDEN");
        let nobody = log_in(&anna, "nobody-at-all", PASSWORD, json!({})).await;
        nobody.refused(403, "M_FORBIDDEN");
        let elsewhere = log_in(&anna, "@anna:elsewhere.test", PASSWORD, json!({})).await;
        elsewhere.refused(403, "M_FORBIDDEN");
        let odd = anna
            .nobody()
            .post(LOGIN, json!({"type": "m.login.magic"}))
            .await;
        odd.refused(400, "M_UNKNOWN");
        // The same device again: the old token ends, the device stays.
        let device = json!({"device_id": anna.device_id});
        let session = log_in(&anna, localpart, PASSWORD, device).await.ok();
        assert_eq!(session["device_id"], *anna.device_id);
        let again = anna.clone().with_session(&session);
        again.get(WHOAMI).await.ok();
        anna.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let further = json!({"refresh_token": true});
        let session = log_in(&anna, &anna.user_id, PASSWORD, further).await.ok();
        assert!(
            session["expires_in_ms"]
                .as_u64()
                .is_some_and(|wait| wait > 0)
        );
        let old = anna.clone().with_session(&session);
        let refresh = async |token: &Value| {
            let body = json!({ "refresh_token": token });
            anna.nobody().post("/_matrix/client/v3/refresh", body).await
        };
        let first = refresh(&session["refresh_token"]).await.ok();
        // The answer may have been lost: the old one works until a new one is used.
        let second = refresh(&session["refresh_token"]).await.ok();
        assert!(second["refresh_token"].is_string() && first["access_token"].is_string());
        let mut new = old.clone();
        new.token = Some(text(&second["access_token"]));
        assert_eq!(new.get(WHOAMI).await.ok()["device_id"], old.device_id);
        refresh(&session["refresh_token"])
            .await
            .refused(401, "M_UNKNOWN_TOKEN");
        old.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        refresh(&json!("nonsense"))
            .await
            .refused(401, "M_UNKNOWN_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_a_soft_logout() {
    let lifetime = [("PLAYHOUSE_REGISTRATION_ACCESS_TOKEN_LIFETIME_MS", "1")];
    on_own_servers(&lifetime, async |server| {
        let anna = server.register("anna").await;
        let further = json!({"refresh_token": true});
        let session = log_in(&anna, &anna.user_id, PASSWORD, further).await.ok();
        let expired = anna.clone().with_session(&session);
        let refused = expired.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        assert_eq!(refused["soft_logout"], true);
        anna.get(WHOAMI).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let phone = anna.login_again().await;
        anna.post("/_matrix/client/v3/logout", json!({})).await.ok();
        let refused = anna.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        assert_ne!(refused["soft_logout"], true);
        let devices = phone.get("/_matrix/client/v3/devices").await.ok();
        assert_eq!(
            texts(&devices["devices"], "/device_id"),
            [phone.device_id.as_str()]
        );
        let tablet = phone.login_again().await;
        phone
            .post("/_matrix/client/v3/logout/all", json!({}))
            .await
            .ok();
        for client in [&phone, &tablet] {
            client.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        }
        let back = phone.login_again().await;
        let devices = back.get("/_matrix/client/v3/devices").await.ok();
        assert_eq!(list(&devices["devices"]).len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_named_and_removed() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let (phone, tablet) = (anna.login_again().await, anna.login_again().await);
        let path = |client: &Client| format!("/_matrix/client/v3/devices/{}", client.device_id);
        anna.put(&path(&phone), json!({"display_name": "Phone"}))
            .await
            .ok();
        let device = anna.get(&path(&phone)).await.ok();
        assert_eq!(device["display_name"], "Phone");
        assert_eq!(device["device_id"], *phone.device_id);
        bert.get(&path(&phone)).await.refused(404, "M_NOT_FOUND");
        bert.put(&path(&phone), json!({"display_name": "Mine"}))
            .await
            .refused(404, "M_NOT_FOUND");
        let asked = anna.delete(&path(&phone)).await;
        assert_eq!(asked.status, 401, "{}", asked.body);
        let body = json!({"auth": {
            "type": "m.login.password", "session": asked.body["session"], "password": "wrong",
            "identifier": {"type": "m.id.user", "user": anna.user_id}
        }});
        let wrong = anna
            .request(reqwest::Method::DELETE, &path(&phone), Some(body.clone()))
            .await;
        wrong.refused(401, "M_FORBIDDEN");
        let mut right = body;
        right["auth"]["password"] = json!(PASSWORD);
        // The session was for the phone and opens nothing else.
        let other = anna
            .request(reqwest::Method::DELETE, &path(&tablet), Some(right.clone()))
            .await;
        assert!([401, 403].contains(&other.status), "{}", other.body);
        anna.request(reqwest::Method::DELETE, &path(&phone), Some(right))
            .await
            .ok();
        phone.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let many = json!({"devices": [tablet.device_id, "UNKNOWN"]});
        with_password(&anna, "/_matrix/client/v3/delete_devices", many, PASSWORD)
            .await
            .ok();
        tablet.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        anna.get(WHOAMI).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_the_password() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let phone = anna.login_again().await;
        let path = "/_matrix/client/v3/account/password";
        let kept = json!({"new_password": "battery staple", "logout_devices": false});
        with_password(&anna, path, kept, PASSWORD).await.ok();
        phone.get(WHOAMI).await.ok();
        log_in(&anna, &anna.user_id, PASSWORD, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        let ended = json!({"new_password": "third password"});
        with_password(&anna, path, ended, "battery staple")
            .await
            .ok();
        phone.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        anna.get(WHOAMI).await.ok();
        log_in(&anna, &anna.user_id, "third password", json!({}))
            .await
            .ok();
        let unknown = json!({"new_password": "battery staple"});
        anna.nobody()
            .post(path, unknown)
            .await
            .refused(401, "M_MISSING_TOKEN");
        let weak = anna.post(path, json!({"new_password": "short"})).await;
        weak.refused(400, "M_WEAK_PASSWORD");
        let wrong = with_password(
            &anna,
            path,
            json!({"new_password": "battery staple"}),
            "wrong",
        )
        .await;
        wrong.refused(401, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_stays_closed() {
    on_each_engine(async |stage| {
        let [anna, bert] = stage.users(["anna", "bert"]).await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        bert.join(&room_id).await;
        let since = anna.now_in(&room_id).await;
        let path = "/_matrix/client/v3/account/deactivate";
        let told = with_password(&bert, path, json!({}), PASSWORD).await.ok();
        assert!(told["id_server_unbind_result"].is_string());
        bert.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        log_in(&bert, &bert.user_id, PASSWORD, json!({}))
            .await
            .refused(403, "M_USER_DEACTIVATED");
        let localpart = bert.user_id[1..].split(':').next().expect("a local part");
        let again =
            json!({"username": localpart, "password": PASSWORD, "auth": {"type": "m.login.dummy"}});
        bert.nobody()
            .post(REGISTER, again)
            .await
            .refused(400, "M_USER_IN_USE");
        anna.sync_until(&since, "", |answer| {
            let events = &answer["rooms"]["join"][&room_id]["timeline"]["events"];
            events.as_array().into_iter().flatten().any(|event| {
                event["state_key"] == *bert.user_id && event["content"]["membership"] == "leave"
            })
        })
        .await;
    })
    .await;
}
