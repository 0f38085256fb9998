//! A server with something of everything that clients leave behind.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    e2ee::crypto,
    fault::log::{crawl, steady},
    harness::{Client, TestServer, client::encode},
};

/// So many clients write at the same time.
const WRITERS: usize = 16;

/// What those who live there call themselves in the end.
const NAMES: [&str; 2] = ["Anna of Playhouse", "Bert of Playhouse"];

/// A word that messages have in them.
pub(super) const WORD: &str = "periwinkle";

/// Who is there, and what they know.
pub(super) struct World {
    pub(super) anna: Client,
    pub(super) bert: Client,
    /// Another device of Bert's.
    pub(super) second: Client,
    pub(super) rooms: Vec<String>,
    /// The root of a thread in the first room.
    pub(super) root: String,
    /// Server name and media ID.
    pub(super) media: String,
    /// A sync token of Anna's from the midst of it all.
    pub(super) since: String,
}

fn room_path(room_id: &str, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room_id))
}

fn user_path(client: &Client, rest: &str) -> String {
    format!("/_matrix/client/v3/user/{}/{rest}", encode(&client.user_id))
}

/// A token that costs little.
async fn token(client: &Client) -> String {
    let filter = encode("{\"room\":{\"timeline\":{\"limit\":1}}}");
    let answer = client.sync(None, &format!("filter={filter}")).await;
    answer["next_batch"].as_str().expect("a token").to_owned()
}

impl World {
    /// Fills a server with so many messages, and some of everything else.
    pub(super) async fn make(server: &TestServer, events: usize) -> Self {
        let anna = server.register("anna").await;
        let bert = server.register("bert").await;
        let second = bert.login_again().await;
        let rooms = rooms(&anna, &bert, (events / 2_000).clamp(6, 200)).await;
        messages(&anna, &rooms, events / 2).await;
        let since = token(&anna).await;
        messages(&anna, &rooms, events - events / 2).await;
        let root = conversation(&anna, &bert, &rooms[0]).await;
        personal(&anna, &bert, &rooms[0]).await;
        encrypted(&anna, &bert, &second).await;
        let media = upload(&anna).await;
        Self {
            anna,
            bert,
            second,
            rooms,
            root,
            media,
            since,
        }
    }

    /// Whether both are called in all their rooms as they call themselves.
    pub(super) async fn is_named(&self, server: &TestServer) -> bool {
        let anna = self.anna.at(server.base());
        let [anna_id, bert_id] = [&self.anna.user_id, &self.bert.user_id];
        for room_id in &self.rooms {
            let members = anna.get(&room_path(room_id, "joined_members")).await.ok();
            for (user_id, name) in [anna_id, bert_id].into_iter().zip(NAMES) {
                let member = &members["joined"][user_id];
                if !member.is_null() && member["display_name"] != name {
                    return false;
                }
            }
        }
        true
    }

    /// What everybody does with a server that works.
    pub(super) async fn go_on(&self, server: &TestServer) {
        let (anna, bert) = (self.anna.at(server.base()), self.bert.at(server.base()));
        let since = token(&bert).await;
        let event_id = anna.say(&self.rooms[0], "going on").await;
        // Something else may be told first.
        let tells = |answer: &Value| answer.to_string().contains(&event_id);
        bert.sync_until(&since, "timeout=60000", tells).await;
        let name = "going-on";
        let made = json!({"room_alias_name": name, "preset": "public_chat"});
        let room_id = bert.create_room(made).await;
        let alias = encode(&format!("#{name}:playhouse.test"));
        let path = format!("/_matrix/client/v3/directory/room/{alias}");
        assert_eq!(anna.get(&path).await.ok()["room_id"], room_id);
        bert.delete(&path).await.ok();
        // Keys that were given out before are not given out again.
        let wish =
            json!({"one_time_keys": {&bert.user_id: {&bert.device_id: "signed_curve25519"}}});
        let path = "/_matrix/client/v3/keys/claim";
        let given = anna.post(path, wish).await.ok();
        let given = &given["one_time_keys"][&bert.user_id][&bert.device_id];
        assert!(given.get("signed_curve25519:00").is_none(), "{given}");
        assert_eq!(given.as_object().map(serde_json::Map::len), Some(1));
    }
}

async fn rooms(anna: &Client, bert: &Client, count: usize) -> Vec<String> {
    let mut rooms = Vec::new();
    for index in 0..count {
        let name = format!("room{index}");
        let visibility = if index % 3 == 0 { "public" } else { "private" };
        let body = json!({
            "preset": "public_chat", "name": name, "room_alias_name": name, "visibility": visibility,
            "topic": format!("about {WORD} {index}"),
        });
        let room_id = anna.create_room(body).await;
        match index % 4 {
            3 => {
                let invited = json!({"user_id": bert.user_id});
                let path = room_path(&room_id, "invite");
                anna.post(&path, invited).await.ok();
            }
            _ => bert.join(&room_id).await,
        }
        rooms.push(room_id);
    }
    rooms
}

/// Many messages, by several clients at once, room by room.
async fn messages(anna: &Client, rooms: &[String], count: usize) {
    let each = count / WRITERS;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (anna, rooms) = (anna.clone(), rooms.to_vec());
        let mine = each + usize::from(writer < count % WRITERS);
        tasks.push(tokio::spawn(async move {
            for number in 0..mine {
                let room_id = &rooms[(writer + number) % rooms.len()];
                let word = if number % 100 == 0 { WORD } else { "nothing" };
                anna.say(room_id, &format!("{word} {writer} {number}"))
                    .await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("a writer ends");
    }
}

/// Redactions, replies, reactions, receipts and markers. Gives the root of a thread.
async fn conversation(anna: &Client, bert: &Client, room_id: &str) -> String {
    let root = anna.say(room_id, "let us talk").await;
    for index in 0..5 {
        let content = json!({
            "msgtype": "m.text", "body": format!("reply {index}"),
            "m.relates_to": {"rel_type": "m.thread", "event_id": root}
        });
        let path = room_path(room_id, &format!("send/m.room.message/thread{index}"));
        bert.put(&path, content).await.ok();
    }
    let reaction =
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": root, "key": "!"}});
    let path = room_path(room_id, "send/m.reaction/reaction");
    bert.put(&path, reaction).await.ok();
    for index in 0..5 {
        let said = anna.say(room_id, &format!("{WORD} to be forgotten")).await;
        let path = format!("redact/{}/redaction{index}", encode(&said));
        anna.put(&room_path(room_id, &path), json!({})).await.ok();
    }
    for (client, kind) in [(bert, "m.read"), (anna, "m.read.private")] {
        let path = room_path(room_id, &format!("receipt/{kind}/{}", encode(&root)));
        client.post(&path, json!({})).await.ok();
    }
    let path = room_path(room_id, "read_markers");
    bert.post(&path, json!({"m.fully_read": root})).await.ok();
    root
}

/// Profiles, account data, tags, push rules and filters.
async fn personal(anna: &Client, bert: &Client, room_id: &str) {
    for (client, name) in [anna, bert].into_iter().zip(NAMES) {
        let user_id = encode(&client.user_id);
        let path = format!("/_matrix/client/v3/profile/{user_id}/displayname");
        let body = json!({"displayname": name});
        client.put(&path, body).await.ok();
        let path = user_path(client, "account_data/org.example");
        client.put(&path, json!({"of": name})).await.ok();
        let path = format!("rooms/{}/account_data/org.example", encode(room_id));
        let path = user_path(client, &path);
        client.put(&path, json!({"in": name})).await.ok();
        let path = format!("rooms/{}/tags/m.favourite", encode(room_id));
        let path = user_path(client, &path);
        client.put(&path, json!({"order": 0.5})).await.ok();
        let rule = json!({"actions": ["notify"], "pattern": WORD});
        let path = "/_matrix/client/v3/pushrules/global/content/word";
        client.put(path, rule).await.ok();
    }
}

/// Keys of devices, one-time keys of which one is claimed, messages to devices, and a key backup.
async fn encrypted(anna: &Client, bert: &Client, second: &Client) {
    for client in [anna, bert, second] {
        crypto::publish(client).await;
        let keys = (0..10).map(|number| {
            let name = format!("signed_curve25519:{number:02}");
            (name, json!({"key": number.to_string()}))
        });
        let keys: serde_json::Map<_, _> = keys.collect();
        let body = json!({"one_time_keys": keys});
        let path = "/_matrix/client/v3/keys/upload";
        client.post(path, body).await.ok();
    }
    let wish = json!({"one_time_keys": {&bert.user_id: {&bert.device_id: "signed_curve25519"}}});
    let path = "/_matrix/client/v3/keys/claim";
    let given = anna.post(path, wish).await.ok();
    let given = &given["one_time_keys"][&bert.user_id][&bert.device_id];
    assert!(given.get("signed_curve25519:00").is_some(), "{given}");
    for number in 0..5 {
        let body = json!({"messages": {&bert.user_id: {"*": {"number": number}}}});
        let path = format!("/_matrix/client/v3/sendToDevice/m.test/{number}");
        anna.put(&path, body).await.ok();
    }
    let body = json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": {"public_key": "abc"}});
    let path = "/_matrix/client/v3/room_keys/version";
    let made = bert.post(path, body).await.ok();
    let version = made["version"].as_str().expect("a version");
    let session = json!({
        "first_message_index": 1, "forwarded_count": 0, "is_verified": true, "session_data": {"ciphertext": "x"}
    });
    let body = json!({"rooms": {"!a:playhouse.test": {"sessions": {"one": session}}}});
    let path = format!("/_matrix/client/v3/room_keys/keys?version={version}");
    bert.put(&path, body).await.ok();
}

async fn upload(anna: &Client) -> String {
    let headers = [("content-type", "text/plain")];
    let path = "/_matrix/media/v3/upload?filename=word.txt";
    let body = WORD.as_bytes().to_vec();
    let answer = anna.with_headers(Method::POST, path, &headers, body).await;
    let answer = answer.ok();
    let uri = answer["content_uri"].as_str().expect("an address");
    uri.trim_start_matches("mxc://").to_owned()
}

/// What clients see of all this, and of the rest.
pub(super) async fn look(world: &World, server: &TestServer) -> Vec<(String, Value)> {
    let mut seen = Vec::new();
    for client in [&world.anna, &world.bert] {
        let of = |name: &str| format!("{} sees {name}", client.user_id);
        for (name, answer) in crawl(client, server).await {
            seen.push((of(&name), answer));
        }
        for (name, answer) in answers(world, &client.at(server.base())).await {
            seen.push((of(&name), steady(answer)));
        }
    }
    let (anna, second) = (world.anna.at(server.base()), world.second.at(server.base()));
    let since = anna.sync(Some(&world.since), "").await;
    seen.push(("since".to_owned(), steady(since["rooms"].clone())));
    let sync = second.sync(None, "").await;
    for part in ["to_device", "account_data", "device_one_time_keys_count"] {
        seen.push((format!("second device: {part}"), sync[part].clone()));
    }
    seen
}

/// Answers of read models and of what belongs to a user.
async fn answers(world: &World, client: &Client) -> Vec<(String, Value)> {
    let alias = encode("#room1:playhouse.test");
    let root = encode(&world.root);
    let room = encode(&world.rooms[0]);
    let paths = [
        "/_matrix/client/v3/publicRooms?limit=100".to_owned(),
        format!("/_matrix/client/v3/directory/room/{alias}"),
        "/_matrix/client/v3/pushrules/".to_owned(),
        user_path(client, "account_data/org.example"),
        user_path(client, &format!("rooms/{room}/tags")),
        format!("/_matrix/client/v1/rooms/{room}/relations/{root}"),
        format!("/_matrix/client/v1/rooms/{room}/threads"),
        format!("/_matrix/client/v3/rooms/{room}/event/{root}"),
    ];
    let mut seen = Vec::new();
    for path in paths {
        let answer = client.get(&path).await.ok();
        seen.push((path, answer));
    }
    let asked = [
        (
            "/_matrix/client/v3/search",
            json!({"search_categories": {"room_events": {
                "search_term": WORD, "order_by": "recent", "filter": {"limit": 100}
            }}}),
        ),
        (
            "/_matrix/client/v3/user_directory/search",
            json!({"search_term": "Playhouse"}),
        ),
        (
            "/_matrix/client/v3/keys/query",
            json!({"device_keys": {
                &world.anna.user_id: [], &world.bert.user_id: []
            }}),
        ),
    ];
    for (path, body) in asked {
        let answer = client.post(path, body).await.ok();
        seen.push((path.to_owned(), answer));
    }
    let devices = client.get("/_matrix/client/v3/devices").await.ok();
    let devices = devices["devices"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<Value> = devices
        .iter()
        .map(|device| device["device_id"].clone())
        .collect();
    names.sort_by_key(Value::to_string);
    seen.push(("devices".to_owned(), Value::Array(names)));
    let path = format!("/_matrix/client/v1/media/download/{}", world.media);
    let media = client.get(&path).await;
    let media = json!([media.status, media.bytes]);
    seen.push(("media".to_owned(), media));
    let path = "/_matrix/client/v3/room_keys/version";
    let backup = client.get(path).await;
    seen.push(("key backup".to_owned(), json!([backup.status, backup.body])));
    seen
}
