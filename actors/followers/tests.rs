//! Followers on the real SQLite driver.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family},
    drivers::{self, DatabaseConfig},
    models::{Model, parked},
    port::{LogStore, NewRecord, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        user::{Deactivated, NamedJson, UserRecord},
    },
};
use ruma::{
    OwnedRoomId, RoomId, UserId, events::room::member::MembershipState, server_name,
    signatures::Ed25519KeyPair,
};
use tempfile::TempDir;

use super::{
    departures,
    members::Members,
    models::Models,
    profiles,
    task::{Handled, Handler, Stop, Stopped, follow, park},
};
use crate::{
    env::{Env, Identity},
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
            key_pair: Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".into()).unwrap(),
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

    fn leave<'a>(
        &'a self,
        room_id: &'a RoomId,
        _user_id: &'a UserId,
    ) -> BoxFuture<'a, Result<(), RoomError>> {
        Box::pin(self.change(room_id, None))
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
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
    follower.stop(Duration::from_secs(5)).await;
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
    follower.stop(Duration::from_secs(5)).await;
}

struct Trial;

impl Model for Trial {
    const NAME: &'static str = "trial";
    const TABLE: &'static str = "trial";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &["CREATE TABLE IF NOT EXISTS trial (position BIGINT PRIMARY KEY, name TEXT NOT NULL)"]
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        fold_trial(record)
    }
}

/// Takes in display names; a number is damage, and the name "poison" breaks the table's rule.
fn fold_trial(stored: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    let Some(UserRecord::ProfileFieldSet(field)) = UserRecord::decode(stored)? else {
        return Ok(Vec::new());
    };
    let name: String = serde_json::from_slice(&field.json.unwrap_or_default())
        .map_err(|error| StoreError::Damaged(error.to_string()))?;
    let name = if name == "poison" {
        Value::Null
    } else {
        Value::Text(name)
    };
    Ok(vec![Statement {
        sql: "INSERT INTO trial (position, name) VALUES ($1, $2)",
        values: vec![Value::Integer(stored.position as i64), name],
    }])
}

async fn names(ground: &Ground) -> Vec<String> {
    let statement = Statement {
        sql: "SELECT name FROM trial ORDER BY position",
        values: Vec::new(),
    };
    let rows = ground.store.models().query(statement).await.unwrap();
    rows.into_iter()
        .map(|row| match &row[0] {
            Value::Text(name) => name.clone(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_park_poison_and_can_be_rebuilt() {
    let ground = Ground::new().await;
    let (store, tail) = ground.source();
    let models = Models::start(store, tail, vec![Box::new(Trial)])
        .await
        .unwrap();
    for name in ["one", "poison", "three"] {
        ground.rename(name).await;
    }
    let last = ground.rename("four").await.landed[0];
    models
        .reached("trial", last.shard, last.position)
        .await
        .unwrap();
    assert_eq!(names(&ground).await, ["one", "three", "four"]);
    assert_eq!(models.parked(10).await.unwrap().len(), 1);
    models.stop(Duration::from_secs(5)).await;

    let mut told = Vec::new();
    super::rebuild::rebuild(&*ground.store, &[Box::new(Trial)], |progress| {
        told.push(progress);
    })
    .await
    .unwrap();
    assert_eq!(names(&ground).await, ["one", "three", "four"]);
    assert_eq!(told.last().map(|progress| progress.parked), Some(1));

    let (store, tail) = ground.source();
    let models = Models::start(store, tail, vec![Box::new(Trial)])
        .await
        .unwrap();
    ground.rename("five").await;
    models.caught_up("trial").await.unwrap();
    assert_eq!(names(&ground).await, ["one", "three", "four", "five"]);
    let parked = models.parked(10).await.unwrap();
    assert_eq!((parked.len(), &*parked[0].name), (1, "trial"));
    assert_eq!(parked[0].entity, Entity::user(ALICE).as_str());
    models.stop(Duration::from_secs(5)).await;

    // The same program does not try again, another one does: in the place where the record belongs.
    for (program, names_then, parked_then) in [
        (None, vec!["one", "three", "four", "five"], 1),
        (
            Some("older"),
            vec!["one", "mended", "three", "four", "five"],
            0,
        ),
    ] {
        if let Some(program) = program {
            parked_by(&ground, program).await;
        }
        let (store, tail) = ground.source();
        let models = Models::start(store, tail, vec![Box::new(Mended)])
            .await
            .unwrap();
        assert_eq!(names(&ground).await, names_then);
        assert_eq!(models.parked_count().await.unwrap(), parked_then);
        models.stop(Duration::from_secs(5)).await;
    }
}

/// As if another program had parked what is parked.
async fn parked_by(ground: &Ground, program: &str) {
    let statement = Statement {
        sql: "UPDATE parked SET program = $1",
        values: vec![Value::Text(program.to_owned())],
    };
    let database = ground.store.models();
    database.apply(vec![statement], Vec::new()).await.unwrap();
}

/// [`Trial`] as a later program has it: it knows what to do with poison.
struct Mended;

impl Model for Mended {
    const NAME: &'static str = "trial";
    const TABLE: &'static str = "trial";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &["CREATE TABLE IF NOT EXISTS trial (position BIGINT PRIMARY KEY, name TEXT NOT NULL)"]
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        let mut statements = fold_trial(record)?;
        for value in statements.iter_mut().flat_map(|one| &mut one.values) {
            if *value == Value::Null {
                *value = Value::Text("mended".to_owned());
            }
        }
        Ok(statements)
    }
}

/// Fails until it is told not to.
struct Stubborn {
    works: bool,
    seen: Arc<Mutex<Vec<u64>>>,
}

impl Handler for Stubborn {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        _stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        let mut handled = Handled::default();
        for record in records {
            if self.works {
                self.seen.lock().push(record.position);
            } else {
                handled.parked.push(park("stubborn", record, &"cannot"));
            }
        }
        Box::pin(async { Ok(handled) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_park_and_another_program_tries_again() {
    let ground = Ground::new().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let start = async |works| {
        let seen = seen.clone();
        let handler = Stubborn { works, seen };
        follow(ground.source(), "stubborn", Family::Users, handler)
            .await
            .unwrap()
    };
    let parked = async || parked::count(&*ground.store.models()).await.unwrap();
    let follower = start(false).await;
    let positions = [
        ground.rename("one").await.landed[0].position,
        ground.rename("two").await.landed[0].position,
    ];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while parked().await < 2 {
        assert!(tokio::time::Instant::now() < deadline, "both are parked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    follower.stop(Duration::from_secs(5)).await;
    // The same program goes on after them.
    let follower = start(true).await;
    let third = ground.rename("three").await.landed[0].position;
    until("the third is seen", || !seen.lock().is_empty()).await;
    follower.stop(Duration::from_secs(5)).await;
    assert_eq!(parked().await, 2);
    assert_eq!(*seen.lock(), [third]);
    parked_by(&ground, "older").await;
    let follower = start(true).await;
    until("the others are seen", || seen.lock().len() == 3).await;
    follower.stop(Duration::from_secs(5)).await;
    assert_eq!(seen.lock()[1..], positions);
    assert_eq!(parked().await, 0);
}
