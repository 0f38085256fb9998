//! A delayed event is sent once: the server is killed around the moment when it is due.

use std::{collections::HashMap, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Database, Options, TestServer, client::encode};

const LIST: &str = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events";
const EVENTS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn delayed_events_are_sent_once_on_sqlite() {
    rounds(Options::default(), 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delayed_events_are_sent_once_on_postgres() {
    let options = Options {
        database: Some(Database::create()),
        ..Options::default()
    };
    rounds(options, 6).await;
}

async fn rounds(options: Options, rounds: usize) {
    let mut server = TestServer::start_with(options).await;
    let mut anna = server.register("anna").await;
    let room_id = anna.create_room(json!({})).await;
    for round in 0..rounds {
        // They are due one after another, and the server dies somewhere among them.
        let mut asked = Vec::new();
        for index in 0..EVENTS {
            let body = format!("{round} {index}");
            let path = format!(
                "/_matrix/client/v3/rooms/{}/send/m.room.message/r{round}i{index}?org.matrix.msc4140.delay={}",
                encode(&room_id),
                200 + index * 8
            );
            let content = json!({"msgtype": "m.text", "body": body});
            anna.put(&path, content).await.ok();
            asked.push(body);
        }
        let moment = uuid::Uuid::now_v7().as_u128() as u64 % 400;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        let cancelled = cancel_one(&anna).await;
        server.kill();
        server.start_again();
        anna = anna.at(server.base());
        wait_until_sent(&anna).await;
        let said = said(&anna, &room_id).await;
        for body in asked {
            let times = said.get(&body).copied().unwrap_or_default();
            let wanted = usize::from(cancelled.as_ref() != Some(&body));
            assert_eq!(times, wanted, "{body} was sent {times} times");
        }
    }
}

/// Calls one back, if any still waits, and tells what it would have said.
async fn cancel_one(anna: &Client) -> Option<String> {
    let list = anna.get(LIST).await.ok();
    let last = list["delayed_events"].as_array()?.last()?.clone();
    let delay_id = last["delay_id"].as_str()?;
    let path = format!("{LIST}/{delay_id}/cancel");
    let answer = anna.try_request(Method::POST, &path, Some(json!({}))).await;
    let is_cancelled = answer.is_ok_and(|answer| answer.status == 200);
    is_cancelled.then(|| text(&last["content"]["body"]))
}

async fn wait_until_sent(anna: &Client) {
    for _ in 0..6_000 {
        let list = anna.get(LIST).await.ok();
        if list["delayed_events"] == json!([]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("they are never sent");
}

async fn said(anna: &Client, room_id: &str) -> HashMap<String, usize> {
    let mut said = HashMap::new();
    for event in anna.history(room_id).await {
        *said.entry(text(&event["content"]["body"])).or_default() += 1;
    }
    said
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
