//! What is left undone.

use std::time::Duration;

use playhouse_schema::address::Place;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::stage::on_own_servers,
    harness::{Client, Database, Options, Peers, TestServer, Town, client::encode, guest::Guest},
};

const ADMIN: &str = "/_playhouse/admin/v1";

/// What another server is sent twice.
const SAID: &str = "something that could not be read";

async fn destination(boss: &Client, wanted: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{ADMIN}/destinations");
    for _ in 0..2_400 {
        let told = boss.get(&path).await.ok();
        if wanted(&told["destinations"][0]) {
            return told["destinations"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never comes to be so: {}", boss.get(&path).await.ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_say_what_they_lack() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let mut two = town.open("two.town", &[]).await;
    let boss = administrator(&one.client(), "boss").await;
    let [anna, bert] = [one.register("anna").await, two.register("bert").await];
    let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
    let join = format!(
        "/_matrix/client/v3/join/{}?server_name=one.town",
        encode(&room_id)
    );
    bert.post(&join, json!({})).await.ok();
    anna.say(&room_id, "hello").await;
    let is_proven =
        |told: &Value| told["state"] == "up_to_date" && told["last_success_ts"].is_u64();
    let told = destination(&boss, is_proven).await;
    assert_eq!(told["server_name"], "two.town");
    two.kill();
    anna.say(&room_id, "are you there").await;
    let told = destination(&boss, |told| told["state"] == "unreachable").await;
    assert!(
        told["failing_since_ts"].is_u64() && told["next_attempt_ts"].is_u64(),
        "{told}"
    );
    let unfinished = format!("{ADMIN}/destinations?unfinished=true");
    let told = boss.get(&unfinished).await.ok();
    assert_eq!(told["destinations"].as_array().map(Vec::len), Some(1));
    two.restart();
    destination(&boss, |told| told["state"] == "up_to_date").await;
    let rest = boss
        .get(&format!("{ADMIN}/destinations?from=two.town"))
        .await
        .ok();
    assert_eq!(rest["destinations"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pushers_are_listed() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let path = format!("{ADMIN}/pushers");
        assert_eq!(boss.get(&path).await.ok()["pushers"], json!([]));
        for (user, key) in [(&anna, "one"), (&anna, "two"), (&bert, "three")] {
            let pusher = json!({
                "kind": "http", "app_id": "org.example", "pushkey": key, "app_display_name": "App", "device_display_name": "Phone",
                "lang": "en", "append": true, "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}
            });
            user.post("/_matrix/client/v3/pushers/set", pusher).await.ok();
        }
        let first = boss.get(&format!("{path}?limit=2")).await.ok();
        assert_eq!(first["limited"], true);
        let last = &first["pushers"][1];
        assert_eq!((&last["user_id"], &last["pushkey"]), (&json!(anna.user_id), &json!("two")));
        assert_eq!(last["device_id"], json!(anna.device_id));
        let next = format!("{path}?from_user={}&from_app=org.example&from_key=two", encode(&anna.user_id));
        let rest = boss.get(&next).await.ok();
        assert_eq!((&rest["pushers"][0]["pushkey"], &rest["limited"]), (&json!("three"), &json!(false)));
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_parked() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let path = format!("{ADMIN}/parked");
        let told = boss.get(&path).await.ok();
        assert_eq!(told, json!({"parked": [], "limited": false, "total": 0}));
        let place = json!({"reader": "outboxes", "family": "rooms", "shard": 0, "position": 1});
        for deed in ["retry", "discard"] {
            let path = format!("{path}/{deed}");
            boss.post(&path, place.clone())
                .await
                .refused(404, "M_NOT_FOUND");
            anna.post(&path, place.clone())
                .await
                .refused(403, "M_FORBIDDEN");
            let mut wrong = place.clone();
            wrong["family"] = json!("towns");
            boss.post(&path, wrong)
                .await
                .refused(400, "M_INVALID_PARAM");
            boss.post(&path, json!({}))
                .await
                .refused(400, "M_MISSING_PARAM");
        }
        boss.get(&format!("{path}?reader=outboxes"))
            .await
            .refused(400, "M_MISSING_PARAM");
    })
    .await;
}

/// Parks what was said for the reader that feeds other servers, as this program would. Where it lies.
fn park(dsn: &str) -> Place {
    let mut client = postgres::Client::connect(dsn, postgres::NoTls).expect("PostgreSQL answers");
    let row = client.query_one(
        "SELECT max(place) FROM log_rooms WHERE position($1::bytea in payload) > 0",
        &[&SAID.as_bytes()],
    );
    let place = Place::from_column(row.expect("it was said").get(0));
    let (shard, position) = (i64::from(place.shard()), place.position() as i64);
    let parked = client.execute(
        "INSERT INTO parked (name, family, shard, position, entity, reason, program) \
         VALUES ('outboxes', 'rooms', $1, $2, 'room:!a', 'poison', $3)",
        &[&shard, &position, &env!("CARGO_PKG_VERSION")],
    );
    assert_eq!(parked.expect("it can be written"), 1);
    place
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_parked_for_other_servers_is_sent() {
    let peers = Peers::start(&["far.test"]).await;
    let dsn = Database::create();
    let server = TestServer::start_with(Options {
        database: Some(dsn.clone()),
        environment: peers.environment(),
        ..Options::default()
    })
    .await;
    let boss = administrator(&server.client(), "boss").await;
    let wish = json!({"preset": "public_chat", "room_version": "11"});
    let room_id = boss.create_room(wish).await;
    Guest::join(&server.client(), &room_id, "@bob:far.test").await;
    boss.say(&room_id, SAID).await;
    let is_said = |event: &Value| event["content"]["body"] == SAID;
    peers.await_event("far.test", is_said).await;
    let parking = tokio::task::spawn_blocking(move || park(&dsn));
    let place = parking.await.expect("it is parked");
    let named = json!({
        "reader": "outboxes", "family": "rooms", "shard": place.shard(), "position": place.position(),
    });
    let retry = format!("{ADMIN}/parked/retry");
    let told = boss.post(&retry, named).await.ok();
    assert_eq!(told["reason"], "poison");
    for _ in 0..2_400 {
        let received = peers.received("far.test");
        let copies = received.iter().filter(|event| is_said(event)).count();
        let left = boss.get(&format!("{ADMIN}/parked")).await.ok();
        if copies == 2 && left["total"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not sent");
}
