//! History that administrators take out of rooms.

use std::time::Duration;

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, retention::is_stored, stage::on_own_servers},
    harness::{Client, client::encode},
};

const PURGE: &str = "/_synapse/admin/v1/purge_history";

async fn bodies(client: &Client, room_id: &str) -> Vec<String> {
    let history = client.history(room_id).await;
    let bodies = history
        .iter()
        .filter_map(|event| event["content"]["body"].as_str());
    bodies.map(ToOwned::to_owned).collect()
}

async fn standing(boss: &Client, begun: &Value) -> Value {
    let path = format!(
        "/_synapse/admin/v1/purge_history_status/{}",
        text(&begun["purge_id"])
    );
    boss.get(&path).await.ok()
}

async fn done(boss: &Client, begun: &Value) -> Value {
    for _ in 0..2_400 {
        let told = standing(boss, begun).await;
        if told["status"] != "active" {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn history_goes_and_state_stays() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"name": "Square"})).await;
        let first = anna.say(&room_id, "a secret of old").await;
        anna.say(&room_id, "another of old").await;
        let mark = anna.say(&room_id, "from here on").await;
        anna.say(&room_id, "the newest").await;
        let other = anna.create_room(json!({})).await;
        let elsewhere = anna.say(&other, "in another room").await;
        let path = format!("{PURGE}/{}", encode(&room_id));
        let up_to = format!("{path}/{}", encode(&mark));
        refusals(&boss, &anna, (&path, &elsewhere)).await;
        // Without being told so it leaves what may be nowhere else.
        let begun = boss.post(&up_to, json!({})).await.ok();
        assert_eq!(done(&boss, &begun).await, json!({"status": "complete"}));
        assert_eq!(bodies(&anna, &room_id).await.len(), 4);
        let begun = boss
            .post(&up_to, json!({"delete_local_events": true}))
            .await
            .ok();
        assert_eq!(done(&boss, &begun).await, json!({"status": "complete"}));
        assert_eq!(
            bodies(&anna, &room_id).await,
            ["from here on", "the newest"]
        );
        assert!(!is_stored(server, "a secret of old") && !is_stored(server, "another of old"));
        let event = format!(
            "/_matrix/client/v3/rooms/{}/event/{}",
            encode(&room_id),
            encode(&first)
        );
        anna.get(&event).await.refused(404, "M_NOT_FOUND");
        server.restart();
        let (anna, boss) = (anna.at(server.base()), boss.at(server.base()));
        assert_eq!(done(&boss, &begun).await, json!({"status": "complete"}));
        let all = json!({"purge_up_to_ts": 99_999_999_999_999_u64, "delete_local_events": true});
        let begun = boss.post(&path, all).await.ok();
        assert_eq!(done(&boss, &begun).await, json!({"status": "complete"}));
        assert_eq!(bodies(&anna, &room_id).await, ["the newest"]);
        anna.say(&room_id, "life goes on").await;
        assert_eq!(
            bodies(&anna, &room_id).await,
            ["the newest", "life goes on"]
        );
        assert_eq!(bodies(&anna, &other).await, ["in another room"]);
        let name = anna.look(&room_id, "state/m.room.name").await.ok();
        assert_eq!(name["name"], "Square");
        server.stop();
        let (whole, text) = server.command_line(&["log", "verify"]);
        assert!(whole, "{text}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purges_of_a_room_wait_in_line() {
    let pace = "PLAYHOUSE_RETENTION_ERASURES_PER_SECOND";
    // Minutes go by after the first message that is taken out.
    on_own_servers(&[(pace, "1")], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let mut said = Vec::new();
        for number in 0..4 {
            said.push(anna.say(&room_id, &format!("{number}")).await);
        }
        let mut line = Vec::new();
        for up_to in [&said[1], &said[3], &said[2]] {
            let path = format!("{PURGE}/{}/{}", encode(&room_id), encode(up_to));
            let body = json!({"delete_local_events": true});
            line.push(boss.post(&path, body).await.ok());
        }
        for begun in &line {
            assert_eq!(standing(&boss, begun).await["status"], "active");
        }
        server.set(pace, "1000000");
        server.restart();
        let (anna, boss) = (anna.at(server.base()), boss.at(server.base()));
        // Who comes later in the line is done later.
        let mut is_over = false;
        for _ in 0..2_400 {
            let mut later_is_done = false;
            for begun in line.iter().rev() {
                let told = standing(&boss, begun).await;
                let is_done = told["status"] == "complete";
                assert!(is_done || told["status"] == "active", "{told}");
                assert!(is_done || !later_is_done, "{begun} was overtaken");
                later_is_done = is_done;
            }
            is_over = standing(&boss, &line[2]).await["status"] == "complete";
            if is_over {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(is_over, "they do not come to their ends");
        assert_eq!(bodies(&anna, &room_id).await, ["3"]);
    })
    .await;
}

async fn refusals(boss: &Client, anna: &Client, (path, elsewhere): (&str, &str)) {
    let answer = anna.post(path, json!({"purge_up_to_ts": 1})).await;
    answer.refused(403, "M_FORBIDDEN");
    for (body, status, errcode) in [
        (json!({}), 400, "M_BAD_JSON"),
        (json!({"purge_up_to_ts": "x"}), 400, "M_BAD_JSON"),
        (json!({"purge_up_to_ts": 1}), 404, "M_NOT_FOUND"),
        (
            json!({"purge_up_to_event_id": "$unknown"}),
            404,
            "M_NOT_FOUND",
        ),
        (
            json!({"purge_up_to_event_id": elsewhere}),
            400,
            "M_INVALID_PARAM",
        ),
    ] {
        boss.post(path, body).await.refused(status, errcode);
    }
    let unknown = format!("{PURGE}/{}", encode("!unknown:a.b"));
    let answer = boss.post(&unknown, json!({"purge_up_to_ts": 1})).await;
    answer.refused(404, "M_NOT_FOUND");
    let unknown = "/_synapse/admin/v1/purge_history_status/unknown";
    boss.get(unknown).await.refused(404, "M_NOT_FOUND");
}
