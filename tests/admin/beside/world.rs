//! What is prepared on both servers in the same way, and what it is called there.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    admin::administrator,
    client::props::{room_path, text},
    e2ee::crypto::Identity,
    harness::{Client, client::encode},
};

/// What other servers bring comes within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// All have the same version: it is not what is compared.
const ROOM_VERSION: &str = "11";

/// One server with people, rooms and media, and the names by which calls and answers call them.
pub(super) struct World {
    name: String,
    people: BTreeMap<&'static str, Client>,
    names: BTreeMap<String, String>,
}

impl World {
    /// People and their media, on a server that is called so and answers there.
    pub(super) async fn people(name: &str, base: &str) -> Self {
        let mut world = Self {
            name: name.to_owned(),
            people: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let boss = administrator(&Client::new(base), "boss").await;
        world.enters("boss", boss);
        for who in ["anna", "bert", "carl", "dora", "gail"] {
            world.enters(who, Client::register(base, who).await);
        }
        for client in world.people.values() {
            // Synapse gives everybody a name, this server nobody.
            let path = format!(
                "/_matrix/client/v3/profile/{}/displayname",
                encode(&client.user_id)
            );
            let name = json!({"displayname": "Somebody"});
            client.put(&path, name).await.ok();
        }
        let anna = world.client("anna");
        let phone = anna.login_again().await;
        world.call("anna_phone", &phone.device_id);
        let keys = Identity::new().upload(&anna.user_id);
        anna.post("/_matrix/client/v3/keys/device_signing/upload", keys)
            .await
            .ok();
        let data = format!(
            "/_matrix/client/v3/user/{}/account_data/org.example.colour",
            encode(&anna.user_id)
        );
        anna.put(&data, json!({"colour": "red"})).await.ok();
        world
            .client("carl")
            .post("/_matrix/client/v3/pushers/set", pusher())
            .await
            .ok();
        for (who, called, length) in [
            ("anna", "note", 5),
            ("anna", "picture", 9),
            ("bert", "scrap", 3),
        ] {
            let id = upload(&world.client(who), called, length).await;
            world.call(called, &id);
        }
        world
    }

    /// Rooms, what is said in them, and who complains of it; somebody of the other server comes in.
    pub(super) async fn furnish(&mut self, other: &Self) {
        let [anna, bert, carl] = ["anna", "bert", "carl"].map(|who| self.client(who));
        self.call("here", &self.name.clone());
        self.call("there", &other.name);
        for who in ["anna", "gail"] {
            self.call(&format!("far_{who}"), &other.client(who).user_id);
        }
        self.call("far_note", &other.names["note"]);
        let wish = json!({"name": "Hall", "topic": "Everything", "room_alias_name": "hall"});
        let hall = self.room("hall", wish, &[&bert]).await;
        let alias = format!("#hall:{}", self.name);
        self.call("hall_alias", &alias);
        let first = anna.say(&hall, "first").await;
        self.call("first", &first);
        bert.say(&hall, "second").await;
        self.show("anna", "note", &hall).await;
        self.show("bert", "scrap", &hall).await;
        anna.invite(&hall, &carl).await;
        other.client("gail").join(&alias).await;
        self.waits_for_guest(&hall, &other.client("gail")).await;
        let far = format!(
            "/_matrix/client/v1/media/download/{}/{}",
            other.name, other.names["note"]
        );
        anna.get(&far).await.ok();
        let yard = json!({"name": "Yard", "creation_content": {"type": "m.space"}});
        let yard = self.room("yard", yard, &[]).await;
        let child = json!({"via": [self.name]});
        anna.set_state(&yard, "m.space.child", &hall, child)
            .await
            .ok();
        for (called, name) in [
            ("attic", "Attic"),
            ("barn", "Barn"),
            ("cellar", "Cellar"),
            ("office", "Office"),
            ("shed", "Shed"),
        ] {
            let wish = json!({"name": name, "room_alias_name": called});
            let room_id = self.room(called, wish, &[&bert]).await;
            bert.say(&room_id, "old").await;
            let last = anna.say(&room_id, "new").await;
            self.call(&format!("{called}_last"), &last);
        }
        self.complain(&hall, &first).await;
    }

    /// Learns what the other server's room is called, which is known here, too.
    pub(super) fn meets(&mut self, other: &Self) {
        self.call("far_hall", &other.names["hall"]);
    }

    async fn complain(&self, hall: &str, first: &str) {
        let bert = self.client("bert");
        let report = room_path(hall, &format!("report/{}", encode(first)));
        let body = json!({"reason": "rude", "score": -100});
        bert.post(&report, body).await.ok();
        let report = format!(
            "/_matrix/client/v3/users/{}/report",
            encode(&self.client("anna").user_id)
        );
        bert.post(&report, json!({"reason": "always rude"}))
            .await
            .ok();
    }

    async fn room(&mut self, called: &str, mut wish: Value, guests: &[&Client]) -> String {
        wish["preset"] = json!("public_chat");
        wish["room_version"] = json!(ROOM_VERSION);
        // Synapse says nothing of guests in public rooms.
        wish["initial_state"] = json!([{
            "type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}
        }]);
        let room_id = self.client("anna").create_room(wish).await;
        for guest in guests {
            guest.join(&room_id).await;
        }
        self.call(called, &room_id);
        room_id
    }

    async fn show(&self, who: &str, media: &str, room_id: &str) {
        let uri = format!("mxc://{}/{}", self.name, self.names[media]);
        let content = json!({"msgtype": "m.file", "body": media, "url": uri});
        let client = self.client(who);
        client.send(room_id, "m.room.message", content).await;
    }

    async fn waits_for_guest(&self, room_id: &str, guest: &Client) {
        let path = room_path(room_id, "joined_members");
        let end = Instant::now() + PATIENCE;
        loop {
            let told = self.client("anna").get(&path).await.ok();
            if told["joined"][&guest.user_id].is_object() {
                return;
            }
            assert!(Instant::now() < end, "the guest never came: {told}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn enters(&mut self, who: &'static str, client: Client) {
        self.call(who, &client.user_id);
        self.call(&format!("{who}_device"), &client.device_id);
        self.people.insert(who, client);
    }

    /// Somebody by name; `nobody` has no account.
    pub(super) fn client(&self, who: &str) -> Client {
        match who {
            "nobody" => self.people["boss"].nobody(),
            who => self.people[who].clone(),
        }
    }

    /// From now on something has this name.
    pub(super) fn call(&mut self, name: &str, value: &str) {
        self.names.insert(name.to_owned(), value.to_owned());
    }

    /// A path with names filled in.
    pub(super) fn path(&self, path: &str) -> String {
        self.names
            .iter()
            .fold(path.to_owned(), |path, (name, value)| {
                path.replace(&format!("{{{name}}}"), &encode(value))
            })
    }

    /// A body with names filled in.
    pub(super) fn body(&self, body: &str) -> Value {
        let filled = self
            .names
            .iter()
            .fold(body.to_owned(), |body, (name, value)| {
                body.replace(&format!("{{{name}}}"), value)
            });
        serde_json::from_str(&filled).unwrap_or_else(|error| panic!("{error}: {filled}"))
    }

    /// An answer with names in place of what they name here, so that answers of both servers look the same.
    pub(super) fn named(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.named_text(text)),
            Value::Array(entries) => entries.iter().map(|entry| self.named(entry)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, value)| (self.named_text(name), self.named(value)));
                Value::Object(fields.collect())
            }
            other => other.clone(),
        }
    }

    fn named_text(&self, text: &str) -> String {
        // The longest first: user IDs have the server's name in them.
        let mut names: Vec<_> = self
            .names
            .iter()
            .filter(|(_, value)| value.len() > 5)
            .collect();
        names.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        names
            .into_iter()
            .fold(text.to_owned(), |text, (name, value)| {
                text.replace(value.as_str(), &format!("{{{name}}}"))
            })
    }
}

async fn upload(client: &Client, called: &str, length: usize) -> String {
    let path = format!("/_matrix/media/v3/upload?filename={called}.txt");
    let headers = [("content-type", "text/plain")];
    let bytes = vec![b'x'; length];
    let answer = client.with_headers(Method::POST, &path, &headers, bytes);
    let uri = text(&answer.await.ok()["content_uri"]);
    let (_, id) = uri.rsplit_once('/').expect("a media ID");
    id.to_owned()
}

fn pusher() -> Value {
    json!({
        "app_id": "org.example.app", "app_display_name": "An app", "device_display_name": "A phone", "kind": "http",
        "lang": "en", "pushkey": "a-key-of-an-app", "data": {"url": "https://push.example.org/_matrix/push/v1/notify"}
    })
}
