//! Other servers as destinations, and rooms that came from them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::props::{list, text},
    harness::{Client, Town, client::encode},
};

const PATH: &str = "/_synapse/admin/v1/federation/destinations";

async fn until(boss: &Client, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = boss.get(path).await;
        if answer.status == 200 && fits(&answer.body) {
            return answer.body;
        }
        assert!(Instant::now() < end, "{}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_are_seen_and_tried_again() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let mut two = town.open("two.town", &[]).await;
    let boss = administrator(&one.client(), "boss").await;
    let anna = one.register("anna").await;
    let bert = two.register("bert").await;
    let other = administrator(&two.client(), "boss").await;
    let wish = json!({"preset": "public_chat", "room_alias_name": "square", "name": "Square", "room_version": "11"});
    let room_id = anna.create_room(wish).await;
    let join = format!("/_matrix/client/v3/join/{}", encode("#square:one.town"));
    bert.post(&join, json!({})).await.ok();
    anna.say(&room_id, "hello").await;
    let path = format!("{PATH}/two.town");
    // A busy machine may have let an attempt fail before.
    let told = until(&boss, &path, |told| {
        told["last_successful_ts"].is_u64() && told["failure_ts"] == Value::Null
    })
    .await;
    assert_eq!(told["retry_last_ts"], 0, "{told}");
    let all = boss.get(PATH).await.ok();
    assert_eq!(
        (&all["total"], &all["destinations"][0]["destination"]),
        (&json!(1), &json!("two.town"))
    );
    for (query, count) in [
        ("destination=TWO", 1),
        ("destination=three", 0),
        ("order_by=retry_last_ts&dir=b", 1),
    ] {
        let all = boss.get(&format!("{PATH}?{query}")).await.ok();
        assert_eq!(list(&all["destinations"]).len(), count, "{query}");
    }
    let rooms = boss.get(&format!("{path}/rooms")).await.ok();
    assert_eq!(
        (&rooms["total"], &rooms["rooms"][0]["room_id"]),
        (&json!(1), &json!(room_id))
    );
    let reset = format!("{path}/reset_connection");
    boss.post(&reset, json!({})).await.refused(400, "M_UNKNOWN");
    for path in [PATH.to_owned(), path.clone(), format!("{path}/rooms")] {
        anna.get(&path).await.refused(403, "M_FORBIDDEN");
    }
    let unknown = format!("{PATH}/three.town");
    boss.get(&unknown).await.refused(404, "M_NOT_FOUND");
    boss.get(&format!("{PATH}?order_by=weather"))
        .await
        .refused(400, "M_INVALID_PARAM");
    // The room is listed on the other side as it is here.
    let listed = until(&other, "/_synapse/admin/v1/rooms", |told| {
        told["rooms"][0]["joined_members"] == 2
    })
    .await;
    let room = &listed["rooms"][0];
    assert_eq!(
        (&room["name"], &room["version"]),
        (&json!("Square"), &json!("11"))
    );
    assert_eq!(room["joined_local_members"], 1);
    assert_eq!(text(&room["creator"]), anna.user_id);
    two.stop();
    anna.say(&room_id, "is anybody there?").await;
    let told = until(&boss, &path, |told| told["failure_ts"].is_u64()).await;
    assert!(
        told["retry_last_ts"].as_u64() >= told["failure_ts"].as_u64(),
        "{told}"
    );
    boss.post(&reset, json!({})).await.ok();
}
