//! Who speaks and who hears in the storm. What is said is said once, however often the homeserver dies meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    client::stage::fresh,
    harness::{Client, TestServer, client::encode},
    push::gateway::NOTIFY,
};

/// Pushkeys that begin so are dead.
pub(super) const DEAD: &str = "dead";

const HEARERS: usize = 3;
const SPEAKERS: usize = 2;

/// A homeserver that was killed answers again within this time.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// Where the homeserver listens now.
pub(super) type Place = Arc<Mutex<String>>;

/// What happens follows from its seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below another.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Dice of their own.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }
}

/// Somebody with a device, and with one that is no more.
#[derive(Clone)]
pub(super) struct Hearer {
    client: Client,
    /// The one that is alive.
    pub(super) pushkey: String,
}

/// Something that was said.
pub(super) struct Saying {
    pub(super) event_id: String,
    /// Those hearers to whom it goes with high priority.
    pub(super) high_for: Vec<usize>,
}

/// A room in which one speaks.
pub(super) struct Room {
    room_id: String,
    speaker: Client,
    /// By number.
    pub(super) hearers: Vec<usize>,
    pub(super) said: Vec<Saying>,
    /// How many of them a hearer has read.
    pub(super) read: BTreeMap<usize, usize>,
}

/// All of them.
pub(super) struct People {
    hearers: Arc<Vec<Hearer>>,
    rooms: Vec<Room>,
}

impl People {
    /// Each hearer has a room alone with each speaker, where everything has high priority; and there is one with all, where that has it which calls by name.
    pub(super) async fn gather(server: &TestServer, gateway_port: u16) -> Self {
        let mut hearers = Vec::new();
        for number in 0..HEARERS {
            let client = server.register(&fresh("hearer")).await;
            let pushkey = format!("a11ce{number:03}");
            for pushkey in [&pushkey, &format!("{DEAD}{number:04}")] {
                set_pusher(&client, pushkey, gateway_port).await;
            }
            hearers.push(Hearer { client, pushkey });
        }
        let mut rooms = Vec::new();
        for number in 0..SPEAKERS {
            let speaker = server.register(&fresh("speaker")).await;
            for hearer in 0..HEARERS {
                rooms.push(Room::open(&speaker, &hearers, vec![hearer]).await);
            }
            if number == 0 {
                let all = (0..HEARERS).collect();
                rooms.push(Room::open(&speaker, &hearers, all).await);
            }
        }
        Self {
            hearers: Arc::new(hearers),
            rooms,
        }
    }

    pub(super) fn hearers(&self) -> &[Hearer] {
        &self.hearers
    }

    pub(super) fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// In all rooms somebody speaks, and now and then somebody reads.
    pub(super) fn talk(&mut self, dice: &mut Dice, place: &Place) -> Vec<JoinHandle<Room>> {
        let rooms = std::mem::take(&mut self.rooms).into_iter();
        rooms
            .map(|room| {
                let (dice, place, hearers) = (dice.fork(), place.clone(), self.hearers.clone());
                tokio::spawn(room.talk(dice, place, hearers))
            })
            .collect()
    }

    /// Waits until all that is to be said is said.
    pub(super) async fn fall_silent(&mut self, talk: Vec<JoinHandle<Room>>) {
        for room in talk {
            self.rooms.push(room.await.expect("nobody panics"));
        }
    }

    /// In each room something is said.
    pub(super) async fn speak_once(&mut self, dice: &mut Dice, place: &Place) {
        let hearers = self.hearers.clone();
        for room in &mut self.rooms {
            room.speak(dice, place, &hearers).await;
        }
    }
}

impl Hearer {
    /// How many rooms have something unread, and invites, as a client sees it that knows nothing yet.
    pub(super) async fn recount(&self, place: &Place) -> u64 {
        let base = place.lock().expect("a place").clone();
        let sync = self.client.at(&base).sync(None, "").await;
        let joined = sync["rooms"]["join"].as_object();
        let unread = joined.into_iter().flatten().filter(|(_, room)| {
            let count = &room["unread_notifications"]["notification_count"];
            count.as_u64().is_some_and(|count| count > 0)
        });
        let invites = sync["rooms"]["invite"].as_object();
        (unread.count() + invites.map_or(0, |invites| invites.len())) as u64
    }

    /// The keys of the user's pushers.
    pub(super) async fn keys(&self, place: &Place) -> Vec<String> {
        let base = place.lock().expect("a place").clone();
        let path = "/_matrix/client/v3/pushers";
        let answer = self.client.at(&base).get(path).await.ok();
        let pushers = answer["pushers"].as_array();
        let keys = pushers.into_iter().flatten().filter_map(|pusher| {
            let key = pusher["pushkey"].as_str()?;
            Some(key.to_owned())
        });
        keys.collect()
    }
}

impl Room {
    async fn open(speaker: &Client, all: &[Hearer], hearers: Vec<usize>) -> Self {
        let room_id = speaker.create_room(json!({"preset": "public_chat"})).await;
        for hearer in &hearers {
            all[*hearer].client.join(&room_id).await;
        }
        Self {
            room_id,
            speaker: speaker.clone(),
            hearers,
            said: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    async fn talk(mut self, mut dice: Dice, place: Place, hearers: Arc<Vec<Hearer>>) -> Self {
        for _ in 0..=dice.below(3) {
            self.speak(&mut dice, &place, &hearers).await;
            if dice.below(4) == 0 {
                self.read(&mut dice, &place, &hearers).await;
            }
        }
        self
    }

    async fn speak(&mut self, dice: &mut Dice, place: &Place, hearers: &[Hearer]) {
        let mut content = json!({"msgtype": "m.text", "body": "hear, hear"});
        let mut high_for = self.hearers.clone();
        if self.hearers.len() > 1 {
            let called = dice.below(2 * self.hearers.len() as u64) as usize;
            high_for = self.hearers.get(called).copied().into_iter().collect();
            let names = high_for
                .iter()
                .map(|called| hearers[*called].client.user_id.clone());
            content["m.mentions"] = json!({"user_ids": names.collect::<Vec<_>>()});
        }
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
            encode(&self.room_id),
            fresh("t")
        );
        let answer = insist(&self.speaker, place, (Method::PUT, &path, content)).await;
        let event_id = answer["event_id"].as_str().expect("an event ID").to_owned();
        self.said.push(Saying { event_id, high_for });
    }

    /// A hearer reads all that was said so far.
    async fn read(&mut self, dice: &mut Dice, place: &Place, hearers: &[Hearer]) {
        let Some(last) = self.said.last() else {
            return;
        };
        let reader = self.hearers[dice.below(self.hearers.len() as u64) as usize];
        let path = format!(
            "/_matrix/client/v3/rooms/{}/receipt/m.read/{}",
            encode(&self.room_id),
            encode(&last.event_id)
        );
        // From the moment in which it may be known nothing of it needs to go out.
        self.read.insert(reader, self.said.len());
        insist(
            &hearers[reader].client,
            place,
            (Method::POST, &path, json!({})),
        )
        .await;
    }
}

async fn set_pusher(client: &Client, pushkey: &str, gateway_port: u16) {
    let url = format!("http://127.0.0.1:{gateway_port}{NOTIFY}");
    let pusher = json!({
        "app_id": "org.example.ios", "pushkey": pushkey, "kind": "http", "app_display_name": "App", "device_display_name": "Phone",
        "lang": "en", "data": {"url": url}
    });
    let set = client.post("/_matrix/client/v3/pushers/set", pusher).await;
    set.ok();
}

/// The same request again and again until the homeserver takes it.
async fn insist(
    client: &Client,
    place: &Place,
    (method, path, body): (Method, &str, Value),
) -> Value {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let base = place.lock().expect("a place").clone();
        let asked = client.at(&base);
        let asking = asked.try_request(method.clone(), path, Some(body.clone()));
        match asking.await {
            Ok(answer) if answer.status < 500 => return answer.ok(),
            Ok(_) | Err(_) => {}
        }
        assert!(Instant::now() < deadline, "{path}: nobody answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
