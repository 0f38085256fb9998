//! How many people may use the server in a month.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::on_own_servers;
use crate::{
    admin::administrator,
    harness::{
        Client, TestServer,
        client::{Answer, encode},
    },
};

const LOGIN: &str = "/_matrix/client/v3/login";
const RESERVED: &str = "[{ medium = \"email\", address = \"late@example.org\" }]";

fn refused(answer: Answer) {
    let told = answer.refused(403, "M_RESOURCE_LIMIT_EXCEEDED");
    assert_eq!(told["limit_type"], "monthly_active_user");
    assert_eq!(told["admin_contact"], "mailto:boss@example.org");
}

fn password(client: &Client) -> Value {
    json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": client.user_id},
        "password": "correct horse",
    })
}

async fn register(client: &Client, name: &str) -> Answer {
    const REGISTER: &str = "/_matrix/client/v3/register";
    let mut body = json!({"username": name, "password": "correct horse"});
    let asked = client.nobody().post(REGISTER, body.clone()).await;
    body["auth"] = json!({"type": "m.login.dummy", "session": asked.body["session"]});
    client.nobody().post(REGISTER, body).await
}

/// The figure that the metrics tell.
async fn active(client: &Client) -> Option<u64> {
    let (_, text) = client.text("/metrics").await;
    let line = text
        .lines()
        .find(|line| line.starts_with("playhouse_admin_mau_current "))?;
    line.rsplit(' ').next()?.parse().ok()
}

async fn sees_active(client: &Client, wanted: u64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let told = active(client).await;
        if told == Some(wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{told:?} instead of {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What somebody may do who has no place, and what not.
async fn has_no_place(client: &Client, room_id: &str) {
    refused(client.get("/_matrix/client/v3/sync").await);
    let send = format!(
        "/_matrix/client/v3/rooms/{}/send/m.room.message/t1",
        encode(room_id)
    );
    let text = json!({"msgtype": "m.text", "body": "hello"});
    refused(client.put(&send, text).await);
    refused(client.nobody().post(LOGIN, password(client)).await);
    client.get("/_matrix/client/v3/account/whoami").await.ok();
}

fn limit(server: &mut TestServer, most: u64) {
    let most = most.to_string();
    for (name, value) in [
        ("LIMIT_USAGE_BY_MAU", "true"),
        ("MAX_MAU_VALUE", most.as_str()),
    ] {
        server.set(&format!("PLAYHOUSE_MONTHLY_ACTIVE_USERS_{name}"), value);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_are_active_in_a_month() {
    let settings = [
        (
            "PLAYHOUSE_MONTHLY_ACTIVE_USERS_MAU_LIMITS_RESERVED_THREEPIDS",
            RESERVED,
        ),
        (
            "PLAYHOUSE_BLOCKING_ADMIN_CONTACT",
            "mailto:boss@example.org",
        ),
    ];
    on_own_servers(&settings, async |server| {
        // Before anything is counted.
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let late = server.register("late").await;
        let eve = server.register("eve").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let addresses = json!({"threepids": [{"medium": "email", "address": "late@example.org"}]});
        let path = format!("/_synapse/admin/v2/users/{}", encode(&late.user_id));
        boss.put(&path, addresses).await.ok();
        limit(server, 3);
        server.restart();
        // The reserved account has its place before it comes.
        let [boss, anna, late, eve] =
            [&boss, &anna, &late, &eve].map(|client| client.at(server.base()));
        sees_active(&boss, 1).await;
        boss.sync(None, "").await;
        sees_active(&boss, 2).await;
        anna.sync(None, "").await;
        anna.sync(None, "").await;
        sees_active(&boss, 3).await;
        has_no_place(&eve, &room_id).await;
        refused(register(&eve, "fred").await);
        late.sync(None, "").await;
        late.join(&room_id).await;
        assert_eq!(active(&boss).await, Some(3));
        // Who has a place keeps it over a crash, and who was refused has none.
        server.kill();
        server.start_again();
        let [boss, anna, eve] = [&boss, &anna, &eve].map(|client| client.at(server.base()));
        sees_active(&boss, 3).await;
        has_no_place(&eve, &room_id).await;
        let again = anna.login_again().await;
        again.sync(None, "").await;
        // Administrators get in whatever the number.
        limit(server, 1);
        server.restart();
        let [boss, eve] = [&boss, &eve].map(|client| client.at(server.base()));
        boss.sync(None, "").await;
        boss.nobody().post(LOGIN, password(&boss)).await.ok();
        has_no_place(&eve, &room_id).await;
        limit(server, 4);
        server.restart();
        let [boss, eve] = [&boss, &eve].map(|client| client.at(server.base()));
        eve.login_again().await.sync(None, "").await;
        sees_active(&boss, 4).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_accounts_and_support_do_not_count() {
    const SECTION: &str = "PLAYHOUSE_MONTHLY_ACTIVE_USERS";
    let [stats, trial] = ["MAU_STATS_ONLY", "MAU_TRIAL_DAYS"].map(|key| format!("{SECTION}_{key}"));
    let settings = [(stats.as_str(), "true"), (trial.as_str(), "1")];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let helper = server.register("helper").await;
        let path = format!("/_synapse/admin/v2/users/{}", encode(&helper.user_id));
        boss.put(&path, json!({"user_type": "support"})).await.ok();
        anna.sync(None, "").await;
        sees_active(&boss, 0).await;
        server.set(&trial, "0");
        limit(server, 2);
        server.restart();
        let [boss, anna, helper] = [&boss, &anna, &helper].map(|client| client.at(server.base()));
        boss.sync(None, "").await;
        anna.sync(None, "").await;
        helper.sync(None, "").await;
        helper.login_again().await.sync(None, "").await;
        sees_active(&boss, 2).await;
    })
    .await;
}
