//! The run: who is there, and what they do.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{becomes, path, truth::Truth};
use crate::{
    client::{
        props::{list_or_none, text},
        stage::fresh,
    },
    harness::{
        Client, Peers, PushGateway, TestServer, Town, administrator,
        client::encode,
        gateway::Manner,
        guest::Guest,
        made::{Made, server_of},
        peer::ask_of,
        script::Reply,
    },
};

/// The servers, each with its users.
const SITES: [(&str, &[&str]); 3] = [
    ("one.town", &["anna", "bert"]),
    ("two.town", &["carl"]),
    ("three.town", &["dora"]),
];

/// The played server whose user sends what is not accepted.
const EVIL: &str = "evil.test";

/// The played server that goes away.
pub(super) const AWAY: &str = "away.test";

/// A server of ours.
pub(super) struct Site {
    pub(super) name: &'static str,
    pub(super) users: Vec<Client>,
    pub(super) boss: Client,
    _server: TestServer,
}

/// A push gateway, and the key of the one pusher that uses it.
pub(super) struct Phone {
    pub(super) gateway: PushGateway,
    pub(super) key: String,
}

/// Everybody, and what is true.
pub(super) struct Run {
    pub(super) sites: Vec<Site>,
    pub(super) room_id: String,
    pub(super) truth: Truth,
    /// Bert's: it takes everything.
    pub(super) bert: Phone,
    /// Carl's: it takes nothing.
    pub(super) carl: Phone,
    eve: Guest,
    gus: Guest,
    is_away: Arc<AtomicBool>,
    _peers: Peers,
    _town: Town,
}

/// What the servers are told of each other, of the played ones and of push gateways.
fn surroundings(town: &Town, peers: &Peers) -> Vec<(String, String)> {
    let mut environment = peers.environment();
    for (name, value) in &mut environment {
        match name.as_str() {
            "PLAYHOUSE_EXTRA_CA" => {
                let authorities = [town.authority(), PathBuf::from(value.as_str())];
                let authorities =
                    authorities.map(|path| std::fs::read_to_string(path).expect("a file"));
                let all = town.authority().with_file_name("authorities.pem");
                std::fs::write(&all, authorities.join("\n")).expect("the file is written");
                *value = all.to_string_lossy().into_owned();
            }
            "PLAYHOUSE_FEDERATION_OVERRIDES" => {
                for name in town.names() {
                    value.push_str(&format!(",{name}={}", town.house(&name).address));
                }
            }
            _ => {}
        }
    }
    let gateways = PushGateway::ENVIRONMENT;
    environment.extend(gateways.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment
}

impl Site {
    async fn open(
        town: &Town,
        (name, users): (&'static str, &[&str]),
        environment: &[(String, String)],
    ) -> Self {
        let environment = environment.iter();
        let environment: Vec<_> = environment
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let server = town.open(name, &environment).await;
        let boss = administrator(&server.client(), "boss").await;
        let mut clients = Vec::new();
        for user in users {
            clients.push(server.register(user).await);
        }
        Self {
            name,
            users: clients,
            boss,
            _server: server,
        }
    }
}

impl Phone {
    async fn of(client: &Client, manner: Manner) -> Self {
        let (gateway, key) = (PushGateway::start().await, fresh("key"));
        gateway.set(manner);
        let pusher = json!({
            "app_id": "org.example.app", "pushkey": key, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
            "profile_tag": "x", "lang": "en", "data": {"url": gateway.url()},
        });
        let path = "/_matrix/client/v3/pushers/set";
        client.post(path, pusher).await.ok();
        Self { gateway, key }
    }
}

impl Run {
    pub(super) async fn open() -> Self {
        let town = Town::new(&SITES.map(|(name, _)| name));
        let peers = Peers::start(&[EVIL, AWAY]).await;
        let is_away = Arc::new(AtomicBool::new(false));
        let away = is_away.clone();
        peers.follow(move |asked| {
            let is_down = asked.name == AWAY && away.load(Ordering::Relaxed);
            is_down.then(|| Reply::Json(503, json!({"errcode": "M_UNKNOWN", "error": "away"})))
        });
        let environment = surroundings(&town, &peers);
        let mut sites = Vec::new();
        for site in SITES {
            sites.push(Site::open(&town, site, &environment).await);
        }
        let anna = &sites[0].users[0];
        let room_id = anna
            .create_room(json!({
                "preset": "public_chat", "room_version": "11", "power_level_content_override": {"events": {"m.room.topic": 0}},
            }))
            .await;
        let (room, by) = (encode(&room_id), sites[0].name);
        let join = format!("/_matrix/client/v3/join/{room}?server_name={by}");
        let others = sites[0].users[1..].iter();
        for user in others.chain(sites[1..].iter().flat_map(|site| &site.users)) {
            user.post(&join, json!({})).await.ok();
        }
        let eve = Guest::join_at((anna, by), &room_id, &format!("@eve:{EVIL}")).await;
        let gus = Guest::join_at((anna, by), &room_id, &format!("@gus:{AWAY}")).await;
        let bert = Phone::of(&sites[0].users[1], Manner::Takes).await;
        let carl = Phone::of(&sites[1].users[0], Manner::Refuses(503)).await;
        let run = Self {
            sites,
            room_id,
            truth: Truth::default(),
            bert,
            carl,
            eve,
            gus,
            is_away,
            _peers: peers,
            _town: town,
        };
        for user_id in [&run.eve.user_id, &run.gus.user_id] {
            run.all_see(user_id, "join").await;
        }
        run
    }

    pub(super) fn site(&self, name: &str) -> &Site {
        let found = self.sites.iter().find(|site| site.name == name);
        found.expect("one of the servers")
    }

    /// Waits until a user's membership is this at all servers.
    async fn all_see(&self, user_id: &str, membership: &str) {
        let rest = format!("state/m.room.member/{}", encode(user_id));
        self.all(&rest, |told| told["membership"] == membership)
            .await;
    }

    /// Waits until all servers know an event.
    async fn all_know(&self, event_id: &str) {
        let rest = format!("event/{}", encode(event_id));
        self.all(&rest, |told| told["event_id"] == event_id).await;
    }

    async fn all(&self, rest: &str, fits: impl Fn(&Value) -> bool) {
        for site in &self.sites {
            becomes(rest, async || {
                let answer = site.users[0].look(&self.room_id, rest).await;
                answer.status == 200 && fits(&answer.body)
            })
            .await;
        }
    }

    /// Has a played server bring an event to each server; whether it is taken must be as expected.
    async fn bring(&mut self, made: &Made, is_taken: bool) {
        let name = server_of(made.json["sender"].as_str().expect("a sender"));
        let body = json!({ "pdus": [made.json] }).to_string();
        for site in &self.sites {
            let path = format!("/_matrix/federation/v1/send/{}", fresh("txn"));
            let (way, request) = ((name, site.name), (Method::PUT, path.as_str()));
            let told = ask_of(way, &site.boss.nobody(), request, Some(&body)).await;
            let told = told.ok()["pdus"][&made.id].clone();
            let is_error = told["error"].is_string();
            assert_eq!(
                is_error, !is_taken,
                "{} at {}: {told}",
                made.json, site.name
            );
        }
        self.truth.brought.push(made.id.clone());
    }

    /// One user of each server says something.
    async fn all_say(&self, what: &str) -> Vec<(&'static str, String)> {
        let mut said = Vec::new();
        for site in &self.sites {
            let event_id = site.users[0].say(&self.room_id, what).await;
            said.push((site.name, event_id));
        }
        for (_, event_id) in &said {
            self.all_know(event_id).await;
        }
        said
    }

    pub(super) async fn play(&mut self) {
        self.talk_and_redact().await;
        self.fork().await;
        self.break_rules().await;
        self.go_away().await;
        for site in &self.sites {
            for user in &site.users {
                user.sync(None, "").await;
            }
        }
        self.truth.late = self
            .all_say("where is gus")
            .await
            .into_iter()
            .map(|(name, id)| (id, name))
            .collect();
    }

    async fn talk_and_redact(&mut self) {
        for round in 0..3 {
            self.all_say(&format!("hello {round}")).await;
        }
        let anna = self.sites[0].users[0].clone();
        // Her own, and those of others.
        for (_, event_id) in self.all_say("what is taken back").await {
            let redaction = anna.redact(&self.room_id, &event_id).await;
            self.truth.redacted.insert(event_id, redaction);
        }
        let hello = self.eve.text("hello, says eve");
        self.eve.follow(&hello);
        let wish = json!({"type": "m.room.redaction", "content": {"redacts": hello.id}});
        let redaction = self.eve.event(wish);
        self.eve.follow(&redaction);
        self.bring(&hello, true).await;
        self.bring(&redaction, true).await;
        self.truth.redacted.insert(hello.id, redaction.id);
        let greeting = self.gus.text("gus says hello");
        self.bring(&greeting, true).await;
    }

    /// Two messages upon the same one, and two topics of which neither knows the other.
    async fn fork(&mut self) {
        for made in [self.eve.text("this way"), self.eve.text("that way")] {
            self.bring(&made, true).await;
        }
        let anna = &self.sites[0].users[0];
        let topic = json!({"topic": "what anna likes"});
        let set = anna.set_state(&self.room_id, "m.room.topic", "", topic);
        let event_id = text(&set.await.ok()["event_id"]);
        self.all_know(&event_id).await;
        let topic = self.eve.event(json!({
            "type": "m.room.topic", "state_key": "", "content": {"topic": "what eve likes"},
        }));
        self.bring(&topic, true).await;
        self.all("state/m.room.topic/", |told| {
            told["topic"] == "what eve likes"
        })
        .await;
        self.all_say("forks are over").await;
    }

    /// What eve may not do, and what she does after she was banned as if she had not been.
    async fn break_rules(&mut self) {
        let anna = self.sites[0].users[0].clone();
        let powers = json!({"users": {&self.eve.user_id: 100}});
        let whose = &anna.user_id;
        let rejected = [
            json!({"type": "m.room.power_levels", "state_key": "", "content": powers}),
            json!({"type": "m.room.member", "state_key": whose, "content": {"membership": "ban"}}),
        ];
        for wish in rejected {
            let made = self.eve.event(wish);
            self.bring(&made, false).await;
            self.truth.rejected.insert(made.id);
        }
        let ban = json!({"user_id": self.eve.user_id, "reason": "enough"});
        anna.act(&self.room_id, "ban", ban).await.ok();
        let eve = self.eve.user_id.clone();
        self.all_see(&eve, "ban").await;
        let rename = json!({
            "type": "m.room.member", "state_key": eve, "content": {"membership": "join", "displayname": "Adam"},
        });
        for made in [self.eve.text("still here"), self.eve.event(rename)] {
            // A sender is not told that its event is not shown.
            self.bring(&made, true).await;
            self.truth.soft_failed.insert(made.id);
        }
    }

    /// One of the played servers goes away, when all has been delivered.
    async fn go_away(&mut self) {
        for (name, event_id) in self.all_say("good night").await {
            let boss = &self.site(name).boss;
            let path = path(&event_id);
            becomes("all has been delivered", async || {
                let told = boss.get(&path).await.ok();
                let destinations = list_or_none(&told["destinations"]);
                let mut states = destinations.iter().map(|one| &one["state"]);
                !destinations.is_empty() && states.all(|state| state == "delivered")
            })
            .await;
        }
        self.is_away.store(true, Ordering::Relaxed);
    }
}
