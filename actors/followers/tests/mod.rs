//! Followers on the real SQLite driver.

mod folding;
mod parking;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family},
    drivers::{self, DatabaseConfig},
    models::AnyModel,
    port::{LogStore, NewRecord, Row, Statement},
    record::{
        codec::Record as _,
        user::{Deactivated, NamedJson, UserRecord},
    },
};
use ruma::{
    EventId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState,
    server_name,
};
use tempfile::TempDir;

use super::{departures, members::Members, models::Models, profiles};
use crate::{
    env::{Env, Identity, Signer},
    kernel::{Append, Landing, Lineage, Log as _},
    room::{RoomError, message::MemberProfile},
    user::UserError,
    writers::{PoolLimits, Pools},
};

const ALICE: &str = "@alice:example.org";

struct Ground {
    _folder: TempDir,
    store: Arc<dyn LogStore>,
    pools: Arc<Pools>,
    sequence: Mutex<u64>,
}

impl Ground {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        };
        let store = drivers::open(config).await.unwrap();
        let env = Env::system(Identity {
            server_name: server_name!("example.org").to_owned(),
            signer: Signer::from_seed("1", &[7; 32]).unwrap(),
        });
        let pools = Pools::open(store.clone(), env, PoolLimits::default())
            .await
            .unwrap();
        Self {
            _folder: folder,
            store,
            pools,
            sequence: Mutex::new(0),
        }
    }

    async fn write(&self, record: UserRecord) -> Landing {
        let entity = Entity::user(ALICE);
        let sequence = {
            let mut sequence = self.sequence.lock();
            *sequence += 1;
            *sequence
        };
        let (told, outcome) = tokio::sync::oneshot::channel();
        self.pools.append(Append {
            divisible: 0,
            family: Family::Users,
            shard: self.store.layout().shard_of(&entity).number,
            records: vec![NewRecord {
                entity,
                sequence,
                kind: record.kind(),
                key: None,
                payload: record.encode(),
            }],
            erasures: Vec::new(),
            lineage: Lineage::default(),
            span: tracing::Span::none(),
            done: Box::new(move |outcome| {
                let _ = told.send(outcome);
            }),
        });
        outcome.await.unwrap().unwrap()
    }

    async fn rename(&self, name: &str) -> Landing {
        self.write(UserRecord::ProfileFieldSet(NamedJson {
            name: "displayname".to_owned(),
            json: Some(format!("\"{name}\"").into_bytes().into()),
        }))
        .await
    }

    fn source(&self) -> (Arc<dyn LogStore>, Arc<crate::writers::Tail>) {
        (self.store.clone(), self.pools.tail())
    }

    /// Starts a model.
    async fn fold(&self, model: impl AnyModel) -> Models {
        let (store, tail) = self.source();
        let models = Models::start(store, tail, vec![Box::new(model)]).await;
        models.unwrap()
    }

    /// What stands in the tables.
    async fn rows(&self, sql: &'static str) -> Vec<Row> {
        let statement = Statement {
            sql,
            values: Vec::new(),
        };
        self.store.models().query(statement).await.unwrap()
    }
}

/// Rooms and one user, in memory.
struct Village {
    name: Mutex<String>,
    /// The display name in each joined room; `None` once left.
    rooms: Mutex<BTreeMap<OwnedRoomId, Option<String>>>,
    /// This room never answers.
    broken: Option<OwnedRoomId>,
    /// Everything stands still after the first room.
    frozen: AtomicBool,
    /// The account is open again.
    open: AtomicBool,
    /// So often it was asked whether it is.
    asked: AtomicUsize,
}

impl Village {
    fn new(rooms: usize, broken: Option<&str>) -> Arc<Self> {
        let rooms = (0..rooms).map(|number| {
            let room_id = RoomId::parse(format!("!{number}:example.org")).unwrap();
            (room_id, Some(String::new()))
        });
        Arc::new(Self {
            name: Mutex::default(),
            rooms: Mutex::new(rooms.collect()),
            broken: broken.map(|room_id| RoomId::parse(room_id).unwrap()),
            frozen: AtomicBool::new(false),
            open: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    fn named(&self, name: &str) -> usize {
        let rooms = self.rooms.lock();
        rooms
            .values()
            .filter(|own| own.as_deref() == Some(name))
            .count()
    }

    fn left(&self) -> usize {
        self.rooms
            .lock()
            .values()
            .filter(|own| own.is_none())
            .count()
    }

    async fn change(&self, room_id: &RoomId, to: Option<String>) -> Result<(), RoomError> {
        if self.broken.as_deref() == Some(room_id) {
            return Err(RoomError::Store("broken".to_owned()));
        }
        if self.frozen.load(Ordering::SeqCst) && self.named(&self.name.lock().clone()) > 0 {
            std::future::pending::<()>().await;
        }
        self.rooms.lock().insert(room_id.to_owned(), to);
        Ok(())
    }
}

impl Members for Village {
    fn profile<'a>(
        &'a self,
        _user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<MemberProfile, UserError>> {
        let displayname = Some(self.name.lock().clone());
        Box::pin(async move {
            Ok(MemberProfile {
                displayname,
                avatar_url: None,
            })
        })
    }

    fn rooms<'a>(
        &'a self,
        _user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Vec<(OwnedRoomId, MembershipState)>, UserError>> {
        let rooms = self.rooms.lock();
        let joined = rooms.iter().filter(|(_, own)| own.is_some());
        let joined = joined.map(|(room_id, _)| (room_id.clone(), MembershipState::Join));
        let joined: Vec<_> = joined.collect();
        Box::pin(async move { Ok(joined) })
    }

    fn refresh_profile<'a>(
        &'a self,
        room_id: &'a RoomId,
        _user_id: &'a UserId,
        profile: MemberProfile,
    ) -> BoxFuture<'a, Result<(), RoomError>> {
        Box::pin(self.change(room_id, profile.displayname))
    }

    fn unwelcome_guests<'a>(
        &'a self,
        _room_id: &'a RoomId,
    ) -> BoxFuture<'a, Result<Vec<OwnedUserId>, RoomError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn is_guest<'a>(&'a self, _user_id: &'a UserId) -> BoxFuture<'a, Result<bool, RoomError>> {
        Box::pin(async { Ok(false) })
    }

    fn is_closed<'a>(&'a self, _user_id: &'a UserId) -> BoxFuture<'a, Result<bool, UserError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let open = self.open.load(Ordering::SeqCst);
        Box::pin(async move { Ok(!open) })
    }

    fn predecessor<'a>(
        &'a self,
        _room_id: &'a RoomId,
        _user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<Option<OwnedRoomId>, UserError>> {
        Box::pin(async { Ok(None) })
    }

    fn take_along<'a>(
        &'a self,
        _user_id: &'a UserId,
        _from_to: (&'a RoomId, &'a RoomId),
        _event_id: &'a EventId,
    ) -> BoxFuture<'a, Result<(), UserError>> {
        Box::pin(async { Ok(()) })
    }

    fn leave<'a>(
        &'a self,
        room_id: &'a RoomId,
        _user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<(), RoomError>> {
        Box::pin(self.change(room_id, None))
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_go_on_after_a_kill() {
    let ground = Ground::new().await;
    let village = Village::new(5, None);
    *village.name.lock() = "Alice".to_owned();
    village.frozen.store(true, Ordering::SeqCst);
    ground.rename("Alice").await;
    let follower = profiles::start(ground.source(), village.clone())
        .await
        .unwrap();
    until("the first room is renamed", || village.named("Alice") == 1).await;
    // Cut off in the middle of the second room.
    follower.stop(Duration::ZERO).await;
    village.frozen.store(false, Ordering::SeqCst);
    let follower = profiles::start(ground.source(), village.clone())
        .await
        .unwrap();
    until("all rooms are renamed", || village.named("Alice") == 5).await;
    follower.stop(Duration::from_secs(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_room_does_not_hold_up_the_others() {
    let ground = Ground::new().await;
    let village = Village::new(3, Some("!1:example.org"));
    *village.name.lock() = "Alice".to_owned();
    ground.rename("Alice").await;
    let follower = profiles::start(ground.source(), village.clone())
        .await
        .unwrap();
    until("the other rooms are renamed", || {
        village.named("Alice") == 2
    })
    .await;
    follower.stop(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_leaves() {
    let ground = Ground::new().await;
    let village = Village::new(3, None);
    let follower = departures::start(ground.source(), village.clone())
        .await
        .unwrap();
    ground
        .write(UserRecord::Deactivated(Deactivated { erase: false }))
        .await;
    until("all rooms are left", || village.left() == 3).await;
    follower.stop(Duration::from_secs(120)).await;
}

/// Somebody who comes in again after the account was opened again is not made to leave by the end of it, however late that is read.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_open_again_stays() {
    let ground = Ground::new().await;
    let village = Village::new(3, None);
    village.open.store(true, Ordering::SeqCst);
    ground
        .write(UserRecord::Deactivated(Deactivated { erase: false }))
        .await;
    let follower = departures::start(ground.source(), village.clone())
        .await
        .unwrap();
    until("it is asked", || village.asked.load(Ordering::SeqCst) > 0).await;
    follower.stop(Duration::from_secs(120)).await;
    assert_eq!(
        (village.left(), village.asked.load(Ordering::SeqCst)),
        (0, 1)
    );
}
