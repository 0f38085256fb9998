//! A server that lies, floods, forges and dawdles: what it does is refused as the rules say, and costs nobody else anything.

mod broken;
mod chains;
mod edus;
mod ends;
mod events;
mod joins;
mod numbers;
mod policy;
mod redactions;
mod replays;
mod resets;
mod returns;
mod rules;
mod sizes;
mod slow;

use std::{collections::BTreeSet, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    client::{props::ids, stage::fresh},
    harness::{
        Client, Options, Peers, TestServer,
        client::{Answer, encode},
        guest::{self, Guest},
        made::Made,
        peer::ask_as,
    },
};

/// The hostile server.
const EVIL: &str = "evil.test";

/// A server that behaves.
const GOOD: &str = "good.test";

/// Who behaves is served within this time, whatever goes on beside: generous, since many tests run at once.
const PROMPTLY: Duration = Duration::from_secs(60);

/// Memory that a server may gain in any of these tests.
const GAIN_BYTES_MAX: u64 = 200 << 20;

/// A server of ours, whose user shares one room with users of a hostile server and of one that behaves, and another room with the latter only.
pub(super) struct Scene {
    server: TestServer,
    peers: Peers,
    anna: Client,
    /// The room of all.
    room_id: String,
    eve: Guest,
    gus: Guest,
    /// The other room, as the server that behaves has it.
    elsewhere: Guest,
    held_before: u64,
}

impl Scene {
    async fn open() -> Self {
        Self::open_with(&[]).await
    }

    async fn open_with(environment: &[(&str, &str)]) -> Self {
        let peers = Peers::start(&[EVIL, GOOD]).await;
        let mut all = peers.environment();
        let further = environment.iter();
        all.extend(further.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let server = TestServer::start_with(Options {
            environment: all,
            ..Options::default()
        })
        .await;
        let anna = server.register("anna").await;
        let wish = json!({"preset": "public_chat", "room_version": "11"});
        let room_id = anna.create_room(wish.clone()).await;
        let eve = Guest::join(&anna, &room_id, "@eve:evil.test").await;
        let gus = Guest::join(&anna, &room_id, "@gus:good.test").await;
        let other = anna.create_room(wish).await;
        let elsewhere = Guest::join(&anna, &other, "@gus:good.test").await;
        let held_before = server.resident_bytes();
        Self {
            server,
            peers,
            anna,
            room_id,
            eve,
            gus,
            elsewhere,
            held_before,
        }
    }

    /// Has a server send a transaction.
    async fn transaction(&self, name: &str, body: &Value) -> Answer {
        self.transaction_as(name, &fresh("txn"), body).await
    }

    async fn transaction_as(&self, name: &str, id: &str, body: &Value) -> Answer {
        let path = format!("/_matrix/federation/v1/send/{id}");
        let body = body.to_string();
        ask_as(name, &self.anna, (Method::PUT, &path), Some(&body)).await
    }

    /// Has a server send events; what became of each, by its ID.
    fn send<'a>(
        &'a self,
        name: &'a str,
        events: &[&Made],
    ) -> impl Future<Output = Value> + use<'a> {
        let pdus: Vec<_> = events.iter().map(|made| &made.json).collect();
        let body = json!({ "pdus": pdus });
        async move {
            let answer = self.transaction(name, &body).await.ok();
            answer["pdus"].clone()
        }
    }

    /// Fails the test unless an event was refused with a reason in which this stands.
    #[track_caller]
    fn assert_refused(told: &Value, made: &Made, why: &str) {
        let error = told[&made.id]["error"].as_str();
        assert!(
            error.is_some_and(|error| error.contains(why)),
            "{} should be refused for {why}: {told}",
            made.json
        );
    }

    /// Fails the test unless an event was taken in.
    #[track_caller]
    fn assert_taken(told: &Value, made: &Made) {
        assert_eq!(told[&made.id], json!({}), "{}: {told}", made.json);
    }

    /// The IDs of the events of the state of the room of all.
    async fn state(&self) -> BTreeSet<String> {
        let state = self.anna.look(&self.room_id, "state").await.ok();
        ids(&state).into_iter().collect()
    }

    /// The IDs of all events that our user sees in the room of all.
    async fn seen(&self) -> Vec<String> {
        ids(&Value::Array(self.anna.history(&self.room_id).await))
    }

    /// A user and a server that behave are served, in the room of all and in their own.
    async fn others_are_served(&self) {
        let served = async {
            let room_id = &self.elsewhere.room_id;
            let hello = self.elsewhere.text(&fresh("hello"));
            let told = self.send(GOOD, &[&hello]).await;
            Self::assert_taken(&told, &hello);
            let path = format!("event/{}", encode(&hello.id));
            self.anna.look(room_id, &path).await.ok();
            for room_id in [room_id, &self.room_id] {
                let answer = fresh("answer");
                self.anna.say(room_id, &answer).await;
                let is_answer = |event: &Value| event["content"]["body"] == answer.as_str();
                self.peers.await_event(GOOD, is_answer).await;
            }
        };
        let in_time = tokio::time::timeout(PROMPTLY, served).await;
        in_time.expect("who behaves is served promptly");
    }

    /// Others are served still, and memory has not grown beyond bounds.
    #[expect(
        clippy::print_stdout,
        reason = "the figures belong into the test's output"
    )]
    async fn end(self, what: &str) {
        self.others_are_served().await;
        let held = self.server.resident_bytes();
        let gain = held.saturating_sub(self.held_before);
        println!(
            "{what}: {} MiB before, {} MiB after",
            self.held_before >> 20,
            held >> 20
        );
        assert!(gain < GAIN_BYTES_MAX, "{what}: {gain} bytes more are held");
    }
}
