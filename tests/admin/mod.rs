//! The admin API over HTTP, mirroring `src/admin/`: one file for each area.

mod accounts;
mod audit;
mod backlog;
mod backups;
mod beside;
mod command_line;
pub(crate) mod dashboard;
mod dashboard_begins;
mod federation;
mod joins;
mod journey;
mod journeys;
mod ketesa;
mod looking;
mod media;
mod moderator;
mod openapi;
mod policies;
mod policies_meanwhile;
mod power;
mod purge_history;
mod quarantine;
mod redaction;
mod registration_tokens;
mod reopening;
mod reports;
mod room_care;
mod rooms;
mod server_notices;
mod standing;
mod token_page;
mod tokens;
mod users;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) use crate::harness::administrator;
use crate::harness::{Client, TestServer, Town, client::encode};

/// What follows the log comes within this time: generous, since many tests run at once.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until the answer is as it should be. Which rooms a user is in follows the log, for example: it is told a moment after somebody else was answered.
async fn awaited(client: &Client, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = client.get(path).await.ok();
        if is_so(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "{path}: {told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Two servers, one.town and two.town, and a public room of the first in which a user of each is.
struct Shared {
    two: TestServer,
    /// An administrator of the first.
    boss: Client,
    /// A user of the first, who made the room.
    anna: Client,
    room_id: String,
    _one: TestServer,
    _town: Town,
}

impl Shared {
    async fn open() -> Self {
        let town = Town::new(&["one.town", "two.town"]);
        let one = town.open("one.town", &[]).await;
        let two = town.open("two.town", &[]).await;
        let boss = administrator(&one.client(), "boss").await;
        let [anna, bert] = [one.register("anna").await, two.register("bert").await];
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        let join = format!(
            "/_matrix/client/v3/join/{}?server_name=one.town",
            encode(&room_id)
        );
        bert.post(&join, json!({})).await.ok();
        Self {
            two,
            boss,
            anna,
            room_id,
            _one: one,
            _town: town,
        }
    }
}
