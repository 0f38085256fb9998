//! A whole node without its edge: rooms, users, writers and models on the SQLite driver; and clients that remember what they were told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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
};
use serde_json::Value;
use tempfile::TempDir;

use super::super::{board::FeedBoard, follow_devices, follow_rooms, heads, open_board, sources};
use crate::{
    env::{Env, Identity, Signer},
    followers::{models::Models, task::Running},
    kernel::{Directory, DirectoryLimits},
    room::{
        Room, RoomAnswer, RoomCommand, RoomQuery, RoomReply,
        context::RoomContext,
        create::prepare,
        message::{
            ChangeMembership, MemberProfile, MembershipAction, MoveReceipt, NewRoom, Preset,
            Reader, SendEvent,
        },
    },
    user::{
        SessionCache, User, UserAnswer, UserCommand, UserContext, UserLimits, UserQuery, UserReply,
        feed::surroundings::Board as _,
        message::{Login, Register, SyncQuery},
    },
    writers::{PoolLimits, Pools},
};

pub(super) struct World {
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
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        };
        let store = drivers::open(config).await.unwrap();
        let env = Env::system(Identity {
            server_name: server_name!("x").to_owned(),
            signer: Signer::from_seed("1", &[7; 32]).unwrap(),
        });
        let pools = Pools::open(store.clone(), env.clone(), PoolLimits::default())
            .await
            .unwrap();
        let models = Models::start(store.clone(), pools.tail(), models::all())
            .await
            .map(Arc::new)
            .unwrap();
        let board = open_board(&*store, &BTreeSet::new()).await.unwrap();
        let limits = DirectoryLimits::default();
        let context = RoomContext {
            retention: Default::default(),
            env: env.clone(),
            store: store.clone(),
            typing: board.clone(),
            models: models.clone(),
            held_receipts: Default::default(),
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
        let context = Arc::new(UserContext {
            env: env.clone(),
            store: store.clone(),
            limits: UserLimits::default(),
            sessions: Arc::new(SessionCache::new(100)),
            board: board.clone(),
            sources,
            pushers: Arc::new(crate::user::NoPushers),
        });
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

    pub(super) async fn register(&self, name: &str) -> Client {
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
            terms: None,
        };
        let command = UserCommand::Register(Box::new(register));
        let entity = Entity::user(user_id.as_str());
        match self.users().command(entity, command).await.unwrap() {
            UserReply::LoggedIn(login) => Client::new(user_id, login.device_id),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn users(&self) -> Arc<Directory<User>> {
        self.users.lock().clone()
    }

    pub(super) async fn create(&self, creator: &UserId) -> OwnedRoomId {
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

    pub(super) async fn tell(
        &self,
        room_id: &OwnedRoomId,
        command: RoomCommand,
    ) -> Result<RoomReply, crate::room::RoomError> {
        self.rooms
            .command(Entity::room(room_id.as_str()), command)
            .await
    }

    pub(super) async fn change(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
        action: MembershipAction,
    ) {
        self.change_of(room_id, (user_id, user_id), action).await;
    }

    pub(super) async fn change_of(
        &self,
        room_id: &OwnedRoomId,
        (sender, target): (&UserId, &UserId),
        action: MembershipAction,
    ) {
        let change = ChangeMembership {
            sender: sender.to_owned(),
            target: target.to_owned(),
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

    pub(super) async fn say(&self, room_id: &OwnedRoomId, user_id: &UserId, text: &str) {
        let event = SendEvent::new(
            user_id.to_owned(),
            TimelineEventType::RoomMessage,
            format!(r#"{{"msgtype":"m.text","body":"{text}"}}"#),
        );
        let _ = self
            .tell(room_id, RoomCommand::SendEvent(Box::new(event)))
            .await;
    }

    pub(super) async fn read(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
        event_id: OwnedEventId,
    ) {
        let receipt = MoveReceipt {
            user_id: user_id.to_owned(),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id,
            ts_ms: None,
            found: true,
        };
        let command = RoomCommand::MoveReceipts(vec![receipt]);
        let _ = self.tell(room_id, command).await;
    }

    /// The room's events in their order: ID, sender, and whether it is a message.
    pub(super) async fn history(&self, room_id: &OwnedRoomId) -> Vec<(String, OwnedUserId, bool)> {
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

    pub(super) async fn members(
        &self,
        room_id: &OwnedRoomId,
        user_id: &UserId,
    ) -> BTreeMap<String, String> {
        let reader = Reader::of(user_id.to_owned());
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

    pub(super) async fn ask(
        &self,
        client: &Client,
        since: Option<String>,
        timeout_ms: u64,
    ) -> Value {
        let query = SyncQuery {
            device_id: client.device_id.clone(),
            since,
            filter: Some(client.filter.clone()),
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

    pub(super) async fn sync(&self, client: &mut Client, with_repeat: bool) {
        let answer = self.ask(client, client.since.clone(), 0).await;
        let answer = if with_repeat {
            let again = self.ask(client, client.since.clone(), 0).await;
            for (room_id, ids) in timelines(&answer) {
                let repeated = timelines(&again).remove(&room_id).unwrap_or_default();
                // A short timeline shows the newest only: then the repeat says that it is cut.
                let cut = ["join", "leave"]
                    .iter()
                    .any(|name| again["rooms"][name][&room_id]["timeline"]["limited"] == true);
                assert!(cut || repeated.starts_with(&ids), "a repeat lost something");
            }
            again
        } else {
            answer
        };
        client.take_in(&answer);
    }

    /// Sends to-device messages to a client: two records of half each.
    pub(super) async fn whisper(&self, client: &Client, count: usize) {
        for numbers in [0..count / 2, count / 2..count] {
            let to = |n: usize| (client.device_id.to_string(), format!(r#"{{"n":{n}}}"#));
            let command = UserCommand::QueueToDevice {
                message_id: None,
                sender: client.user_id.clone(),
                event_type: "m.test".into(),
                messages: numbers.map(to).collect(),
            };
            let entity = Entity::user(client.user_id.as_str());
            self.users().command(entity, command).await.unwrap();
        }
    }

    pub(super) async fn ask_room(&self, room_id: &str, query: RoomQuery) -> RoomAnswer {
        self.rooms
            .query(Entity::room(room_id), query)
            .await
            .unwrap()
    }

    /// Waits until everything committed is announced.
    pub(super) async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
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
    pub(super) async fn sleep(&self) {
        let users = self.users();
        users.close(Duration::from_secs(120)).await;
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
pub(super) struct RoomView {
    pub(super) events: Vec<String>,
    pub(super) members: BTreeMap<String, String>,
    pub(super) notifications: u64,
    pub(super) is_joined: bool,
}

pub(super) struct Client {
    pub(super) user_id: OwnedUserId,
    pub(super) device_id: OwnedDeviceId,
    pub(super) since: Option<String>,
    pub(super) rooms: BTreeMap<String, RoomView>,
    pub(super) changed: Vec<String>,
    pub(super) left: Vec<String>,
    pub(super) invited: BTreeSet<String>,
    /// The filter it syncs with, and whether members are left out.
    pub(super) filter: String,
    pub(super) is_lazy: bool,
    /// Where timelines were cut off: room, `prev_batch` and the first event.
    pub(super) cuts: Vec<(String, String, String)>,
}

impl Client {
    pub(super) fn new(user_id: OwnedUserId, device_id: OwnedDeviceId) -> Self {
        Self {
            user_id,
            device_id,
            since: None,
            rooms: BTreeMap::new(),
            changed: Vec::new(),
            left: Vec::new(),
            invited: BTreeSet::new(),
            filter: r#"{"room":{"timeline":{"limit":100}}}"#.to_owned(),
            is_lazy: false,
            cuts: Vec::new(),
        }
    }

    pub(super) fn take_in(&mut self, answer: &Value) {
        self.since = Some(answer["next_batch"].as_str().unwrap().to_owned());
        let ids = timelines(answer);
        for section in ["join", "leave"] {
            for (room_id, room) in answer["rooms"][section].as_object().into_iter().flatten() {
                let view = self.rooms.entry(room_id.clone()).or_default();
                view.is_joined = section == "join";
                self.invited.remove(room_id);
                if room["timeline"]["limited"] == true {
                    view.events.clear();
                    if let Some(first) = ids[room_id].first() {
                        let before = room["timeline"]["prev_batch"].as_str().unwrap();
                        let cut = (room_id.clone(), before.to_owned(), first.clone());
                        self.cuts.push(cut);
                    }
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
        for room_id in answer["rooms"]["invite"].as_object().into_iter().flatten() {
            self.invited.insert(room_id.0.clone());
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
