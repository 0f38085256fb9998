//! Sync answers of a user with some rooms, through the actors, HTTP aside.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use criterion::Criterion;
use playhouse_actors::{
    house::{House, HouseConfig, NewAccount, RoomWish},
    room::message::Preset,
    user::message::{Login, SyncQuery},
};
use playhouse_schema::drivers::{self, DatabaseConfig};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};
use tempfile::TempDir;

use super::stage::{env, message};

const ROOMS: usize = 50;
const MESSAGES: usize = 10;
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

struct Home {
    house: Arc<House>,
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    rooms: Vec<OwnedRoomId>,
    _folder: TempDir,
}

/// Three answers: everything, nothing, and one message in each of five rooms.
pub(crate) fn answers(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let home = runtime.block_on(Home::open());
    let end = next_batch(&runtime.block_on(home.sync(None)));
    let mut group = criterion.benchmark_group("sync-answer");
    group.bench_function(format!("initial-{ROOMS}-rooms"), |bencher| {
        bencher.iter(|| runtime.block_on(home.sync(None)).len());
    });
    group.bench_function("nothing-new", |bencher| {
        bencher.iter(|| runtime.block_on(home.sync(Some(end.clone()))).len());
    });
    runtime.block_on(async {
        for room_id in &home.rooms[..5] {
            home.send(room_id).await;
        }
    });
    group.bench_function("five-rooms-changed", |bencher| {
        bencher.iter(|| runtime.block_on(home.sync(Some(end.clone()))).len());
    });
    group.finish();
    runtime.block_on(home.house.close(CLOSE_WITHIN));
}

fn next_batch(body: &Bytes) -> String {
    let answer: serde_json::Value = serde_json::from_slice(body).expect("an answer is JSON");
    answer["next_batch"]
        .as_str()
        .expect("an answer has a token")
        .to_owned()
}

impl Home {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        };
        let store = drivers::open(config)
            .await
            .expect("a new folder can be opened");
        let house = House::open(store, HouseConfig::new(env()))
            .await
            .expect("a new house can be opened");
        let account = NewAccount {
            username: Some("alice".to_owned()),
            login: Some(Login {
                device_id: None,
                display_name: None,
                refresh: false,
                access_lifetime_ms: 0,
            }),
            ..NewAccount::default()
        };
        let made = house.register(account).await.expect("the name is free");
        let session = made.login.expect("a session was asked for");
        let mut home = Self {
            house,
            user_id: made.user_id,
            device_id: session.device_id,
            rooms: Vec::new(),
            _folder: folder,
        };
        for _ in 0..ROOMS {
            let room_id = home.room().await;
            for _ in 0..MESSAGES {
                home.send(&room_id).await;
            }
            home.rooms.push(room_id);
        }
        home
    }

    async fn room(&self) -> OwnedRoomId {
        let wish = RoomWish {
            creator: self.user_id.clone(),
            version: None,
            preset: Some(Preset::PrivateChat),
            creation_content: None,
            alias_localpart: None,
            name: Some("Globe".to_owned()),
            topic: None,
            invites: Vec::new(),
            is_direct: false,
            public: false,
            initial_state: Vec::new(),
            power_level_content_override: None,
        };
        let made = self.house.create_room(wish).await;
        made.expect("a room can be made").room_id
    }

    async fn send(&self, room_id: &OwnedRoomId) {
        let event = message(
            "alice",
            "of about the length that people write to each other",
        );
        let sent = self.house.send_event(room_id, event).await;
        sent.expect("the message is accepted");
    }

    async fn sync(&self, since: Option<String>) -> Bytes {
        let query = SyncQuery {
            device_id: self.device_id.clone(),
            since,
            filter: None,
            full_state: false,
            set_presence: None,
            timeout_ms: 0,
            state_after: false,
        };
        let answer = self.house.sync(&self.user_id, query).await;
        answer.expect("the token is ours")
    }
}
