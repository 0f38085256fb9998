//! A moderation bot as Draupnir is one: a user who is an administrator, who follows a policy list, polls reports, bans, redacts, shuts rooms down, suspends
//! and closes accounts; with the calls that Draupnir makes.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{
        props::{list, room_path, text},
        stage::on_own_servers,
    },
    harness::{Client, client::encode},
};

const ADMIN: &str = "/_synapse/admin/v1";

/// What follows comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// The bot: who it is, which list it follows and which rooms it guards.
struct Bot {
    client: Client,
    list: String,
    guarded: Vec<String>,
    /// Where the next report begins.
    from: u64,
}

impl Bot {
    /// The rules of the list: whom they name, with stars, and why.
    async fn rules(&self) -> Vec<(String, String)> {
        let state = self.client.look(&self.list, "state").await.ok();
        let rules = list(&state)
            .iter()
            .filter(|event| event["type"] == "m.policy.rule.user")
            .filter(|event| event["content"]["recommendation"] == "m.ban");
        let rules = rules.map(|event| {
            let content = &event["content"];
            (text(&content["entity"]), text(&content["reason"]))
        });
        rules.collect()
    }

    /// Bans everybody in guarded rooms whom a rule names, and redacts what they said.
    async fn enforce(&self) -> Vec<String> {
        let mut banned = Vec::new();
        for (entity, reason) in self.rules().await {
            for room_id in &self.guarded {
                let members = self.client.look(room_id, "joined_members").await.ok();
                let joined = members["joined"].as_object().expect("an object");
                for user_id in joined.keys().filter(|user_id| is_named(&entity, user_id)) {
                    let ban = json!({"user_id": user_id, "reason": reason});
                    self.client.act(room_id, "ban", ban).await.ok();
                    self.redact_all(room_id, user_id).await;
                    banned.push(user_id.clone());
                }
            }
        }
        banned
    }

    /// Pages through a room for what somebody said.
    async fn redact_all(&self, room_id: &str, user_id: &str) {
        let filter = json!({"senders": [user_id], "types": ["m.room.message"]});
        let filter = encode(&filter.to_string());
        let mut from = String::new();
        loop {
            let query = format!("messages?dir=b&limit=2&filter={filter}{from}");
            let page = self.client.look(room_id, &query).await.ok();
            for event in list(&page["chunk"]) {
                self.client.redact(room_id, &text(&event["event_id"])).await;
            }
            match page["end"].as_str() {
                Some(end) => from = format!("&from={}", encode(end)),
                None => return,
            }
        }
    }

    /// What was reported since it looked last: the reports and the reported events.
    async fn reports(&mut self) -> Vec<(Value, Value)> {
        let path = format!("{ADMIN}/event_reports?dir=f&from={}", self.from);
        let told = self.client.get(&path).await.ok();
        let mut found = Vec::new();
        for report in list(&told["event_reports"]) {
            self.from += 1;
            let guarded = &self.guarded;
            if !guarded.contains(&text(&report["room_id"])) {
                continue;
            }
            let path = format!("{ADMIN}/event_reports/{}", report["id"]);
            let whole = self.client.get(&path).await.ok();
            found.push((report.clone(), whole["event_json"].clone()));
        }
        found
    }
}

/// Whether a pattern with stars names somebody.
fn is_named(entity: &str, user_id: &str) -> bool {
    match entity.split_once('*') {
        Some((head, tail)) => user_id.starts_with(head) && user_id.ends_with(tail),
        None => entity == user_id,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moderation_bot_moderates() {
    on_own_servers(&[], async |server| {
        let client = administrator(&server.client(), "draupnir").await;
        let [anna, spammer] = [
            server.register("anna").await,
            server.register("spam-12").await,
        ];
        let hall = anna.create_room(json!({"preset": "public_chat"})).await;
        let own = json!({"preset": "private_chat", "name": "Policies"});
        let mut bot = Bot {
            list: client.create_room(own).await,
            guarded: vec![hall.clone()],
            from: 0,
            client,
        };
        spammer.join(&hall).await;
        for text in ["buy", "buy now", "buy this"] {
            spammer.say(&hall, text).await;
        }
        comes_to_power(&bot, &hall).await;
        reports_are_polled(&mut bot, (&anna, &spammer), &hall).await;
        a_policy_is_enforced(&bot, (&anna, &spammer), &hall).await;
        accounts_are_stopped(&bot, &spammer).await;
        a_room_is_shut_down(&bot, &anna).await;
    })
    .await;
}

/// It is an administrator, which it asks first, and makes itself one of a room that it shall guard.
async fn comes_to_power(bot: &Bot, hall: &str) {
    let me = &bot.client.user_id;
    let path = format!("{ADMIN}/users/{}/admin", encode(me));
    assert_eq!(bot.client.get(&path).await.ok(), json!({"admin": true}));
    let room = format!("{ADMIN}/rooms/{}", encode(hall));
    let path = format!("{room}/make_room_admin");
    bot.client.post(&path, json!({"user_id": me})).await.ok();
    bot.client.join(hall).await;
    let levels = bot
        .client
        .look(hall, "state/m.room.power_levels")
        .await
        .ok();
    assert!(levels["users"][me].as_i64() >= Some(100), "{levels}");
}

async fn reports_are_polled(bot: &mut Bot, (anna, spammer): (&Client, &Client), hall: &str) {
    assert!(bot.reports().await.is_empty());
    let elsewhere = anna.create_room(json!({"preset": "public_chat"})).await;
    for room_id in [elsewhere.as_str(), hall] {
        let event_id = if room_id == hall {
            spammer.say(room_id, "buy that").await
        } else {
            anna.say(room_id, "hello").await
        };
        let report = room_path(room_id, &format!("report/{}", encode(&event_id)));
        anna.post(&report, json!({"reason": "spam"})).await.ok();
    }
    let found = bot.reports().await;
    assert_eq!(found.len(), 1, "only of rooms that it guards");
    let (report, event) = &found[0];
    assert_eq!(report["reason"], "spam");
    assert_eq!(report["user_id"], json!(anna.user_id));
    assert_eq!(event["sender"], json!(spammer.user_id));
    assert_eq!(event["content"]["body"], "buy that");
    assert!(bot.reports().await.is_empty(), "none is told twice");
}

async fn a_policy_is_enforced(bot: &Bot, (anna, spammer): (&Client, &Client), hall: &str) {
    assert!(bot.enforce().await.is_empty());
    let rule =
        json!({"entity": "@spam-*:playhouse.test", "recommendation": "m.ban", "reason": "spam"});
    let set = bot
        .client
        .set_state(&bot.list, "m.policy.rule.user", "rule:@spam-*", rule);
    set.await.ok();
    assert_eq!(bot.enforce().await, std::slice::from_ref(&spammer.user_id));
    spammer
        .post(&room_path(hall, "join"), json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let history = anna.history(hall).await;
    let left = history
        .iter()
        .filter(|event| event["sender"] == spammer.user_id && event["type"] == "m.room.message");
    for event in left {
        assert_eq!(event["content"], json!({}), "{event}");
    }
    let member = format!("state/m.room.member/{}", encode(&spammer.user_id));
    let member = anna.look(hall, &member).await.ok();
    assert_eq!(
        (&member["membership"], &member["reason"]),
        (&json!("ban"), &json!("spam"))
    );
}

async fn accounts_are_stopped(bot: &Bot, spammer: &Client) {
    let id = encode(&spammer.user_id);
    let path = format!("{ADMIN}/suspend/{id}");
    let suspended = bot.client.put(&path, json!({"suspend": true})).await.ok();
    let key = format!("user_{}_suspended", spammer.user_id);
    assert_eq!(suspended, json!({key: true}));
    let wish = json!({"preset": "public_chat"});
    spammer
        .post("/_matrix/client/v3/createRoom", wish)
        .await
        .refused(403, "M_USER_SUSPENDED");
    let path = format!("{ADMIN}/deactivate/{id}");
    bot.client.post(&path, json!({"erase": true})).await.ok();
    spammer
        .get("/_matrix/client/v3/account/whoami")
        .await
        .refused(401, "M_UNKNOWN_TOKEN");
}

async fn a_room_is_shut_down(bot: &Bot, anna: &Client) {
    let wish = json!({"preset": "public_chat", "room_alias_name": "den"});
    let den = anna.create_room(wish).await;
    let path = format!("/_synapse/admin/v2/rooms/{}", encode(&den));
    let body = json!({
        "new_room_user_id": bot.client.user_id, "block": true, "message": "This room was shut down."
    });
    let begun = bot
        .client
        .request(Method::DELETE, &path, Some(body))
        .await
        .ok();
    let status = format!(
        "/_synapse/admin/v2/rooms/delete_status/{}",
        text(&begun["delete_id"])
    );
    let end = Instant::now() + PATIENCE;
    let done = loop {
        let told = bot.client.get(&status).await.ok();
        if told["status"] == "complete" {
            break told;
        }
        assert_ne!(told["status"], "failed", "{told}");
        assert!(Instant::now() < end, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let done = &done["shutdown_room"];
    assert_eq!(done["kicked_users"], json!([anna.user_id]));
    assert_eq!(done["local_aliases"], json!(["#den:playhouse.test"]));
    let notice = text(&done["new_room_id"]);
    let said = anna.history(&notice).await;
    let mut bodies = said.iter().map(|event| &event["content"]["body"]);
    assert!(bodies.any(|body| body == "This room was shut down."));
    anna.post(&room_path(&den, "join"), json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
}
