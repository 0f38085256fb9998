//! Syncs over the real rooms, users, writers and models on the SQLite driver: whatever happens, each device's answers make up the history, once and in order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Family},
    drivers::{self, DatabaseConfig},
    models,
    port::LogStore,
};
use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    events::{TimelineEventType, receipt::ReceiptType},
    server_name,
    signatures::Ed25519KeyPair,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{board::FeedBoard, follow_devices, follow_rooms, heads, open_board, sources};
use crate::{
    env::{Env, Identity},
    followers::{models::Models, task::Running},
    kernel::{Directory, DirectoryLimits},
    room::{
        Room, RoomAnswer, RoomCommand, RoomQuery, RoomReply,
        context::RoomContext,
        create::{NewRoom, prepare},
        message::{
            ChangeMembership, MemberProfile, MembershipAction, MoveReceipt, Preset, Reader,
            SendEvent,
        },
    },
    user::{
        SessionCache, User, UserAnswer, UserCommand, UserContext, UserLimits, UserQuery, UserReply,
        feed::surroundings::Board as _,
        message::{Login, Register, SyncQuery},
    },
    writers::{PoolLimits, Pools},
};

struct World {
    _folder: TempDir,
    env: Env,
    store: Arc<dyn LogStore>,
    pools: Arc<Pools>,
    _models: Arc<Models>,
    board: Arc<FeedBoard>,
    rooms: Arc<Directory<Room>>,
    context: Arc<UserContext>,
    users: parking_lot::Mutex<Arc<Directory<User>>>,
    _tasks: [Running; 2],
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        };
        let store = drivers::open(config).await.unwrap();
        let env = Env::system(Identity {
            server_name: server_name!("x").to_owned(),
            key_pair: Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".into()).unwrap(),
        });
        let pools = Pools::open(store.clone(), env.clone(), PoolLimits::default())
            .await
            .unwrap();
        let models = Models::start(store.clone(), pools.tail(), models::all())
            .await
            .map(Arc::new)
            .unwrap();
        let board = open_board(&*store).await.unwrap();
        let limits = DirectoryLimits::default();
        let context = RoomContext {
            env: env.clone(),
            store: store.clone(),
            typing: board.clone(),
        };
        let rooms = Directory::new(Arc::new(context), store.clone(), pools.clone(), limits)
            .await
            .unwrap();
        let sources = Arc::new(sources::HouseSources {
            rooms: rooms.clone(),
            store: store.clone(),
            models: models.clone(),
        });
        let tasks = [
            follow_rooms(board.clone(), &pools.tail()),
            follow_devices(board.clone(), &pools.tail(), sources.clone()),
        ];
        let context = UserContext {
            env: env.clone(),
            store: store.clone(),
            limits: UserLimits::default(),
            sessions: Arc::new(SessionCache::new(100)),
            board: board.clone(),
            sources,
        };
        let context = Arc::new(context);
        let users = Directory::new(context.clone(), store.clone(), pools.clone(), limits)
            .await
            .unwrap();
        Self {
            _folder: folder,
            env,
            store,
            pools,
            _models: models,
            board,
            rooms,
            context,
            users: parking_lot::Mutex::new(users),
            _tasks: tasks,
        }
    }

    async fn register(&self, name: &str) -> Client {
        let user_id = UserId::parse(format!("@{name}:x")).unwrap();
        let register = Register {
            password_hash: None,
            admin: false,
            guest: false,
            user_type: None,
            displayname: None,
            login: Some(Login {
                device_id: None,
                display_name: None,
                refresh: false,
                access_lifetime_ms: 0,
            }),
        };
        let command = UserCommand::Register(Box::new(register));
        let entity = Entity::user(user_id.as_str());
        match self.users().command(entity, command).await.unwrap() {
            UserReply::LoggedIn(login) => Client::new(user_id, login.device_id),
            other => panic!("{other:?}"),
        }
    }

    fn users(&self) -> Arc<Directory<User>> {
        self.users.lock().clone()
    }

    async fn create(&self, creator: &UserId) -> OwnedRoomId {
        let wish = NewRoom {
            creator: creator.to_owned(),
            creator_profile: MemberProfile::default(),
            version: RoomVersionId::V11,
            creation_content: None,
            preset: Preset::PublicChat,
            power_level_content_override: None,
            alias: None,
            initial_state: Vec::new(),
            name: None,
            topic: None,
            invites: Vec::new(),
            is_direct: false,
            public: false,
        };
        let (room_id, command) = prepare(&self.env, wish).unwrap();
        let command = RoomCommand::Create(Box::new(command));
        self.tell(&room_id, command).await.unwrap();
        room_id
    }

    async fn tell(
        &self,
        room_id: &OwnedRoomId,
        command: RoomCommand,
    ) -> Result<RoomReply, crate::room::RoomError> {
        self.rooms
            .command(Entity::room(room_id.as_str()), command)
            .await
    }

    async fn change(&self, room_id: &OwnedRoomId, user_id: &UserId, action: MembershipAction) {
        let change = ChangeMembership {
            sender: user_id.to_owned(),
            target: user_id.to_owned(),
            action,
            reason: None,
            profile: MemberProfile::default(),
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        let _ = self
            .tell(room_id, RoomCommand::ChangeMembership(Box::new(change)))
            .await;
    }

    async fn say(&self, room_id: &OwnedRoomId, user_id: &UserId, text: &str) {
        let event = SendEvent {
            sender: user_id.to_owned(),
            event_type: TimelineEventType::RoomMessage,
            state_key: None,
            content: format!(r#"{{"msgtype":"m.text","body":"{text}"}}"#),
            redacts: None,
            transaction: None,
            origin_server_ts: None,
            guest: false,
        };
        let _ = self
            .tell(room_id, RoomCommand::SendEvent(Box::new(event)))
            .await;
    }

    async fn read(&self, room_id: &OwnedRoomId, user_id: &UserId, event_id: OwnedEventId) {
        let receipt = MoveReceipt {
            user_id: user_id.to_owned(),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id,
        };
        let _ = self
            .tell(room_id, RoomCommand::MoveReceipts(vec![receipt]))
            .await;
    }

    /// The room's events in their order: ID, sender, and whether it is a message.
    async fn history(&self, room_id: &OwnedRoomId) -> Vec<(String, OwnedUserId, bool)> {
        let query = RoomQuery::LiveAfter {
            sequence: 0,
            limit: 1_000,
        };
        let entity = Entity::room(room_id.as_str());
        match self.rooms.query(entity, query).await.unwrap() {
            RoomAnswer::Live(events) => events
                .iter()
                .map(|event| {
                    let is_message = event.pdu.event_type == TimelineEventType::RoomMessage;
                    let id = event.pdu.event_id.to_string();
                    (id, event.pdu.sender.clone(), is_message)
                })
                .collect(),
            _ => panic!("not live events"),
        }
    }

    async fn members(&self, room_id: &OwnedRoomId, user_id: &UserId) -> BTreeMap<String, String> {
        let reader = Reader {
            user_id: user_id.to_owned(),
            device_id: None,
            ignored: Vec::new(),
        };
        let query = RoomQuery::State { reader };
        let entity = Entity::room(room_id.as_str());
        let RoomAnswer::Events(events) = self.rooms.query(entity, query).await.unwrap() else {
            panic!("not events");
        };
        let mut members = BTreeMap::new();
        for event in events {
            note_member(&mut members, &serde_json::from_slice(&event).unwrap());
        }
        members
    }

    async fn ask(&self, client: &Client, since: Option<String>, timeout_ms: u64) -> Value {
        let query = SyncQuery {
            device_id: client.device_id.clone(),
            since,
            filter: Some(r#"{"room":{"timeline":{"limit":100}}}"#.into()),
            full_state: false,
            set_presence: None,
            timeout_ms,
            state_after: false,
        };
        let entity = Entity::user(client.user_id.as_str());
        let query = UserQuery::Sync(Box::new(query));
        let within = Duration::from_secs(60);
        match self.users().query_within(entity, query, within).await {
            Ok(UserAnswer::Synced(body)) => serde_json::from_slice(&body).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn sync(&self, client: &mut Client, with_repeat: bool) {
        let answer = self.ask(client, client.since.clone(), 0).await;
        let answer = if with_repeat {
            let again = self.ask(client, client.since.clone(), 0).await;
            for (room_id, ids) in timelines(&answer) {
                let repeated = timelines(&again).remove(&room_id).unwrap_or_default();
                assert!(repeated.starts_with(&ids), "a repeat lost something");
            }
            again
        } else {
            answer
        };
        client.take_in(&answer);
    }

    /// Waits until everything committed is announced.
    async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let wanted = heads(&*self.store, Family::Rooms).await.unwrap();
        let devices = heads(&*self.store, Family::Users).await.unwrap();
        loop {
            let rooms = self.board.room_positions();
            let reached = wanted
                .iter()
                .all(|(shard, at)| rooms.get(shard).copied().unwrap_or(0) >= *at);
            let announced = self.board.device_positions();
            let told = devices
                .iter()
                .all(|(shard, at)| announced.get(shard).copied().unwrap_or(0) >= *at);
            if reached && told {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the board lags");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Puts all users to sleep.
    async fn sleep(&self) {
        let users = self.users();
        users.close(Duration::from_secs(10)).await;
        let next = Directory::new(
            self.context.clone(),
            self.store.clone(),
            self.pools.clone(),
            DirectoryLimits::default(),
        );
        let next = next.await.unwrap();
        *self.users.lock() = next;
    }
}

fn note_member(members: &mut BTreeMap<String, String>, event: &Value) {
    if event["type"] == "m.room.member" {
        members.insert(
            event["state_key"].as_str().unwrap().into(),
            event["content"]["membership"].as_str().unwrap().into(),
        );
    }
}

fn timelines(answer: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for section in ["join", "leave"] {
        for (room_id, room) in answer["rooms"][section].as_object().into_iter().flatten() {
            let events = room["timeline"]["events"].as_array().unwrap();
            let ids = events
                .iter()
                .map(|event| event["event_id"].as_str().unwrap().to_owned());
            found.insert(room_id.clone(), ids.collect());
        }
    }
    found
}

#[derive(Default)]
struct RoomView {
    events: Vec<String>,
    members: BTreeMap<String, String>,
    notifications: u64,
    is_joined: bool,
}

struct Client {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    since: Option<String>,
    rooms: BTreeMap<String, RoomView>,
    changed: Vec<String>,
    left: Vec<String>,
}

impl Client {
    fn new(user_id: OwnedUserId, device_id: OwnedDeviceId) -> Self {
        Self {
            user_id,
            device_id,
            since: None,
            rooms: BTreeMap::new(),
            changed: Vec::new(),
            left: Vec::new(),
        }
    }

    fn take_in(&mut self, answer: &Value) {
        self.since = Some(answer["next_batch"].as_str().unwrap().to_owned());
        let ids = timelines(answer);
        for section in ["join", "leave"] {
            for (room_id, room) in answer["rooms"][section].as_object().into_iter().flatten() {
                let view = self.rooms.entry(room_id.clone()).or_default();
                view.is_joined = section == "join";
                if room["timeline"]["limited"] == true {
                    view.events.clear();
                }
                for id in &ids[room_id] {
                    assert!(!view.events.contains(id), "{} got {id} twice", self.user_id);
                    view.events.push(id.clone());
                }
                let state = room["state"]["events"].as_array().unwrap();
                let timeline = room["timeline"]["events"].as_array().unwrap();
                for event in state.iter().chain(timeline) {
                    note_member(&mut view.members, event);
                }
                if let Some(count) = room["unread_notifications"]["notification_count"].as_u64() {
                    view.notifications = count;
                }
            }
        }
        let users = |name: &str| -> Vec<String> {
            let users = answer["device_lists"][name].as_array();
            users
                .into_iter()
                .flatten()
                .map(|user| user.as_str().unwrap().to_owned())
                .collect()
        };
        self.changed = users("changed");
        self.left = users("left");
    }
}

/// A small generator: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

async fn one_life(seed: u64, steps: usize) {
    let world = World::new().await;
    let mut dice = Dice(seed);
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        clients.push(world.register(name).await);
    }
    let mut rooms = Vec::new();
    for number in 0..4 {
        let creator = clients[number % clients.len()].user_id.clone();
        rooms.push(world.create(&creator).await);
    }
    for step in 0..steps {
        let room_id = rooms[dice.roll(rooms.len())].clone();
        let who = dice.roll(clients.len());
        let user_id = clients[who].user_id.clone();
        match dice.roll(20) {
            0..=3 => {
                world
                    .change(&room_id, &user_id, MembershipAction::Join)
                    .await
            }
            4..=5 => {
                world
                    .change(&room_id, &user_id, MembershipAction::Leave)
                    .await
            }
            6..=12 => world.say(&room_id, &user_id, &format!("{step}")).await,
            13..=14 => {
                let history = world.history(&room_id).await;
                let event_id = &history[dice.roll(history.len())].0;
                let event_id = OwnedEventId::try_from(event_id.as_str()).unwrap();
                world.read(&room_id, &user_id, event_id).await;
            }
            15 if dice.roll(3) == 0 => world.sleep().await,
            _ => {
                let with_repeat = dice.roll(4) == 0;
                world.sync(&mut clients[who], with_repeat).await;
            }
        }
    }
    world.settle().await;
    for client in &mut clients {
        world.sync(client, false).await;
        check(&world, client, &rooms, seed).await;
    }
}

async fn check(world: &World, client: &Client, rooms: &[OwnedRoomId], seed: u64) {
    let mut fresh = Client::new(client.user_id.clone(), client.device_id.clone());
    world.sleep().await;
    world.sync(&mut fresh, false).await;
    for room_id in rooms {
        let told = format!("seed {seed}, {} in {room_id}", client.user_id);
        let history = world.history(room_id).await;
        let ids: Vec<_> = history.iter().map(|(id, ..)| id.clone()).collect();
        let Some(view) = client.rooms.get(room_id.as_str()) else {
            assert!(
                !fresh.rooms.contains_key(room_id.as_str()),
                "{told}: never told"
            );
            continue;
        };
        let start = ids.iter().position(|id| Some(id) == view.events.first());
        let start = start.unwrap_or_else(|| panic!("{told}: nothing in the timeline"));
        let end = start + view.events.len();
        assert_eq!(view.events, ids[start..end], "{told}: order or gaps");
        assert_eq!(
            fresh.rooms.contains_key(room_id.as_str()),
            view.is_joined,
            "{told}"
        );
        if view.is_joined {
            assert_eq!(end, ids.len(), "{told}: the end is missing");
            let members = world.members(room_id, &client.user_id).await;
            assert_eq!(view.members, members, "{told}: members");
            let recounted = fresh.rooms[room_id.as_str()].notifications;
            assert_eq!(view.notifications, recounted, "{told}: unread");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_make_up_the_history() {
    for seed in [1, 2, 3] {
        one_life(seed, 160).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_sync_hears_of_messages_joins_and_departures() {
    let world = World::new().await;
    let mut alice = world.register("alice").await;
    let mut bob = world.register("bob").await;
    let room_id = world.create(&alice.user_id).await;
    world.settle().await;
    world.sync(&mut alice, false).await;
    world.sync(&mut bob, false).await;
    let waiting = world.ask(&alice, alice.since.clone(), 20_000);
    let action = async {
        world
            .change(&room_id, &bob.user_id, MembershipAction::Join)
            .await;
    };
    let (answer, ()) = tokio::join!(waiting, action);
    alice.take_in(&answer);
    assert!(alice.changed.contains(&bob.user_id.to_string()), "{answer}");
    world.settle().await;
    world.sync(&mut bob, false).await;
    assert!(bob.changed.contains(&alice.user_id.to_string()));
    let waiting = world.ask(&bob, bob.since.clone(), 20_000);
    let action = world.say(&room_id, &alice.user_id, "hello");
    let (answer, ()) = tokio::join!(waiting, action);
    bob.take_in(&answer);
    let view = &bob.rooms[room_id.as_str()];
    assert_eq!(view.notifications, 1, "{answer}");
    let last = view.events.last().unwrap().as_str().try_into().unwrap();
    world.read(&room_id, &bob.user_id, last).await;
    world.settle().await;
    world.sync(&mut bob, false).await;
    assert_eq!(bob.rooms[room_id.as_str()].notifications, 0);
    let waiting = world.ask(&alice, alice.since.clone(), 20_000);
    let (answer, ()) = tokio::join!(waiting, async {});
    alice.take_in(&answer);
    world
        .change(&room_id, &bob.user_id, MembershipAction::Leave)
        .await;
    world.settle().await;
    world.sync(&mut alice, false).await;
    assert_eq!(alice.left, [bob.user_id.to_string()]);
    let nothing = world.ask(&alice, alice.since.clone(), 0).await;
    assert!(nothing.get("rooms").is_none(), "{nothing}");
}
