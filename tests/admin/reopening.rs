//! Closed accounts that are opened again.

use serde_json::{Value, json};

use super::{
    administrator,
    dashboard::{go, shown, sign_in, submit},
};
use crate::{
    client::{
        props::{text, texts, user_path},
        stage::on_own_servers,
    },
    harness::{
        Chromium, Client, TestServer,
        client::{Answer, encode},
    },
};

const WHOAMI: &str = "/_matrix/client/v3/account/whoami";

fn v2(user_id: &str) -> String {
    format!("/_synapse/admin/v2/users/{}", encode(user_id))
}

fn reopening(user_id: &str) -> String {
    format!("/_playhouse/admin/v1/users/{}/reopen", encode(user_id))
}

async fn close(boss: &Client, user_id: &str, erase: bool) {
    let path = format!("/_synapse/admin/v1/deactivate/{}", encode(user_id));
    boss.post(&path, json!({ "erase": erase })).await.ok();
}

async fn log_in(anybody: &Client, user_id: &str, password: &str) -> Answer {
    let body = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user_id}, "password": password
    });
    let nobody = anybody.nobody();
    nobody.post("/_matrix/client/v3/login", body).await
}

/// By room.
async fn memberships(boss: &Client, user_id: &str) -> Value {
    let path = format!("/_synapse/admin/v1/users/{}/memberships", encode(user_id));
    boss.get(&path).await.ok()["memberships"].clone()
}

/// An account with everything that an account can have.
async fn furnish(boss: &Client, anna: &Client) {
    let addresses = json!([{"medium": "email", "address": "anna@example.org"}]);
    let identities = json!([{"auth_provider": "oidc", "external_id": "anna"}]);
    let wish = json!({"displayname": "Anna", "threepids": addresses, "external_ids": identities});
    boss.put(&v2(&anna.user_id), wish).await.ok();
    let data = user_path(&anna.user_id, "account_data/org.example.thing");
    anna.put(&data, json!({"kept": true})).await.ok();
    let pusher = json!({
        "kind": "http", "app_id": "org.example", "pushkey": "one", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}
    });
    let path = "/_matrix/client/v3/pushers/set";
    anna.post(path, pusher).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_begins_anew() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        furnish(&boss, &anna).await;
        let hall = bert.create_room(json!({"preset": "public_chat"})).await;
        anna.join(&hall).await;
        close(&boss, &anna.user_id, false).await;
        let closed = boss.get(&v2(&anna.user_id)).await.ok();
        let wish = json!({"deactivated": false, "password": "another horse"});
        let told = boss.put(&v2(&anna.user_id), wish).await;
        assert_eq!(told.status, 200, "{}", told.body);
        let told = told.ok();
        assert_eq!((&told["deactivated"], &told["erased"]), (&json!(false), &json!(false)));
        assert_eq!((&told["displayname"], &told["threepids"]), (&Value::Null, &json!([])));
        assert_eq!(told["external_ids"], closed["external_ids"]);
        assert_eq!(memberships(&boss, &anna.user_id).await, json!({&*hall: "leave"}));
        anna.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        log_in(&anna, &anna.user_id, "correct horse").await.refused(403, "M_FORBIDDEN");
        let session = log_in(&anna, &anna.user_id, "another horse").await.ok();
        let again = server.client().with_session(&session);
        let devices = again.get("/_matrix/client/v3/devices").await.ok();
        assert_eq!(texts(&devices["devices"], "/device_id"), [again.device_id.as_str()]);
        let pushers = again.get("/_matrix/client/v3/pushers").await.ok();
        assert_eq!(pushers["pushers"], json!([]));
        let data = user_path(&anna.user_id, "account_data/org.example.thing");
        again.get(&data).await.refused(404, "M_NOT_FOUND");
        let profile = format!("/_matrix/client/v3/profile/{}", encode(&anna.user_id));
        assert_eq!(bert.get(&profile).await.ok(), json!({}));
        let named = json!({"displayname": "Anna, again"});
        again.put(&format!("{profile}/displayname"), named.clone()).await.ok();
        assert_eq!(bert.get(&profile).await.ok(), named);
        let own = again.create_room(json!({})).await;
        again.say(&own, "here again").await;
        again.join(&hall).await;
        let both = json!({&*hall: "join", &*own: "join"});
        assert_eq!(memberships(&boss, &anna.user_id).await, both);
        // She is found by who shares a room with her, and the name is taken as ever.
        let search = json!({"search_term": "anna"});
        let found = bert.post("/_matrix/client/v3/user_directory/search", search).await.ok();
        assert_eq!(texts(&found["results"], "/user_id"), [anna.user_id.as_str()]);
        let taken = json!({"username": "anna", "password": "correct horse", "auth": {"type": "m.login.dummy"}});
        let taken = anna.nobody().post("/_matrix/client/v3/register", taken).await;
        taken.refused(400, "M_USER_IN_USE");
        server.restart();
        let [boss, again] = [&boss, &again].map(|client| client.at(server.base()));
        again.get(WHOAMI).await.ok();
        again.say(&hall, "still here").await;
        assert_eq!(memberships(&boss, &anna.user_id).await, both);
        close(&boss, &anna.user_id, true).await;
        again.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let list = "/_synapse/admin/v3/users?deactivated=true";
        let found = boss.get(list).await.ok();
        assert_eq!(texts(&found["users"], "/name"), [anna.user_id.as_str()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forgotten_rooms_stay_forgotten() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let hall = bert.create_room(json!({"preset": "public_chat"})).await;
        anna.join(&hall).await;
        anna.leave(&hall).await;
        anna.act(&hall, "forget", json!({})).await.ok();
        close(&boss, &anna.user_id, false).await;
        let wish = json!({"password": "another horse"});
        boss.post(&reopening(&anna.user_id), wish).await.ok();
        let session = log_in(&anna, &anna.user_id, "another horse").await.ok();
        let again = server.client().with_session(&session);
        again
            .look(&hall, "messages?dir=b")
            .await
            .refused(403, "M_FORBIDDEN");
        server.restart();
        let again = again.at(server.base());
        again
            .look(&hall, "messages?dir=b")
            .await
            .refused(403, "M_FORBIDDEN");
        again.join(&hall).await;
        assert_eq!(again.look(&hall, "messages?dir=b").await.status, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_twice_changes_nothing() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let path = reopening(&anna.user_id);
        let wish = |password: &str| json!({ "password": password });
        // Open accounts keep their password and their sessions.
        let told = boss.post(&path, wish("another horse")).await.ok();
        assert_eq!(told, json!({"reopened": false}));
        anna.get(WHOAMI).await.ok();
        close(&boss, &anna.user_id, true).await;
        let told = boss.post(&path, wish("another horse")).await.ok();
        assert_eq!(told, json!({"reopened": true}));
        let told = boss.post(&path, wish("a third horse")).await.ok();
        assert_eq!(told, json!({"reopened": false}));
        log_in(&anna, &anna.user_id, "a third horse")
            .await
            .refused(403, "M_FORBIDDEN");
        log_in(&anna, &anna.user_id, "another horse").await.ok();
        let told = boss
            .put(&v2(&anna.user_id), json!({"deactivated": false}))
            .await
            .ok();
        assert_eq!(told["deactivated"], false);
        log_in(&anna, &anna.user_id, "another horse").await.ok();
        let found = boss
            .get("/_synapse/admin/v3/users?deactivated=false")
            .await
            .ok();
        assert_eq!(
            texts(&found["users"], "/name"),
            [anna.user_id.as_str(), boss.user_id.as_str()]
        );
        assert_eq!(found["users"][0]["erased"], false);
        // Without a password it is open, and nobody gets in by one.
        close(&boss, &anna.user_id, false).await;
        boss.post(&path, json!({})).await.ok();
        for password in ["correct horse", "another horse"] {
            log_in(&anna, &anna.user_id, password)
                .await
                .refused(403, "M_FORBIDDEN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_everybody_opens_everything() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        close(&boss, &anna.user_id, false).await;
        let path = reopening(&anna.user_id);
        bert.post(&path, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        bert.put(&v2(&anna.user_id), json!({"deactivated": false}))
            .await
            .refused(403, "M_FORBIDDEN");
        bert.nobody()
            .post(&path, json!({}))
            .await
            .refused(401, "M_MISSING_TOKEN");
        boss.post(&path, json!({"password": 7}))
            .await
            .refused(400, "M_BAD_JSON");
        for wrong in [
            json!({"deactivated": "no"}),
            json!({"deactivated": false, "password": 7}),
        ] {
            boss.put(&v2(&anna.user_id), wrong)
                .await
                .refused(400, "M_BAD_JSON");
        }
        // A closed account is opened, or left alone.
        boss.put(&v2(&anna.user_id), json!({"displayname": "Anna"}))
            .await
            .refused(400, "M_INVALID_PARAM");
        assert_eq!(boss.get(&v2(&anna.user_id)).await.ok()["deactivated"], true);
        boss.post(&reopening("@anna:elsewhere.test"), json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
        boss.put(&v2("@anna:elsewhere.test"), json!({"deactivated": false}))
            .await
            .refused(400, "M_INVALID_PARAM");
        boss.post(&reopening("@carl:playhouse.test"), json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
        let made = boss
            .put(&v2("@carl:playhouse.test"), json!({"deactivated": false}))
            .await;
        assert_eq!(
            (made.status, &made.body["deactivated"]),
            (201, &json!(false))
        );
        for (role, status) in [("read", 403), ("moderate", 403), ("operate", 200)] {
            let wish = json!({"name": role, "roles": [role]});
            let made = boss.post("/_playhouse/admin/v1/tokens", wish).await.ok();
            let mut tool = server.client();
            tool.token = Some(text(&made["token"]));
            assert_eq!(tool.post(&path, json!({})).await.status, status, "{role}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_told_with_the_reason() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        close(&boss, &anna.user_id, false).await;
        boss.post(
            &reopening(&anna.user_id),
            json!({"password": "another horse"}),
        )
        .await
        .ok();
        boss.put(&v2(&anna.user_id), json!({"deactivated": true}))
            .await
            .ok();
        boss.put(&v2(&anna.user_id), json!({"deactivated": false}))
            .await
            .ok();
        let audit = "/_playhouse/admin/v1/audit";
        let target = encode(&anna.user_id);
        let changes = boss
            .get(&format!("{audit}?kind=user&target={target}"))
            .await
            .ok()["changes"]
            .clone();
        let changes = changes.as_array().expect("a list");
        assert_eq!(changes.len(), 4, "{changes:?}");
        let states = [(true, false), (false, true), (true, false), (false, true)];
        for (change, (before, after)) in changes.iter().zip(states) {
            assert_eq!(
                (
                    &change["before"]["deactivated"],
                    &change["after"]["deactivated"]
                ),
                (&json!(before), &json!(after))
            );
            assert_eq!(change["can_be_undone"], false);
            let undo = format!("{audit}/{}/undo", change["id"]);
            boss.post(&undo, json!({}))
                .await
                .refused(400, "M_INVALID_PARAM");
            let why = if after { "gone for good" } else { "close it" };
            let told = boss.get(&format!("{audit}/{}", change["id"])).await.ok();
            assert!(text(&told["why_not"]).contains(why), "{told}");
            assert!(!told.to_string().contains("another horse"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_opens_closed_accounts() {
    let server = TestServer::start().await;
    let boss = administrator(&server.client(), "boss").await;
    let anna = server.register("anna").await;
    close(&boss, &anna.user_id, false).await;
    let browser = Chromium::start("en").await;
    sign_in(&browser, &boss).await;
    let hash = format!("#/users/{}", encode(&anna.user_id));
    go(&browser, (&hash, &anna.user_id)).await;
    browser.press("Open the account again").await;
    let is_open = "return document.querySelector('dialog[open]') !== null";
    browser.wait_until(is_open, json!([])).await;
    browser.type_into("New password", "another horse").await;
    submit(&browser).await;
    browser.wait_for("The account is open again.").await;
    shown(&browser, &anna.user_id).await;
    log_in(&anna, &anna.user_id, "another horse").await.ok();
    browser.complaints().await;
}
