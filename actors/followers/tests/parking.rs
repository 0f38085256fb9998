//! What cannot be taken in is put aside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family, Shard},
    models::{
        Model,
        parked::{self, Parked},
    },
    port::{Statement, StoreError, StoredRecord, Value},
    record::{codec::Record as _, user::UserRecord},
};

use super::{ALICE, Ground, until};
use crate::followers::{
    lookout::Lookout,
    rebuild,
    task::{Handled, Handler, Stop, Stopped, follow, park},
};

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
    let rows = ground.rows("SELECT name FROM trial ORDER BY position");
    rows.await
        .into_iter()
        .map(|row| match &row[0] {
            Value::Text(name) => name.clone(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_park_poison_and_can_be_rebuilt() {
    let ground = Ground::new().await;
    let models = ground.fold(Trial).await;
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
    models.stop(Duration::from_secs(120)).await;

    let mut told = Vec::new();
    rebuild::rebuild(&*ground.store, &[Box::new(Trial)], |progress| {
        told.push(progress);
    })
    .await
    .unwrap();
    assert_eq!(names(&ground).await, ["one", "three", "four"]);
    assert_eq!(told.last().map(|progress| progress.parked), Some(1));

    let models = ground.fold(Trial).await;
    ground.rename("five").await;
    models.caught_up("trial").await.unwrap();
    assert_eq!(names(&ground).await, ["one", "three", "four", "five"]);
    let parked = models.parked(10).await.unwrap();
    assert_eq!((parked.len(), &*parked[0].name), (1, "trial"));
    assert_eq!(parked[0].entity, Entity::user(ALICE).as_str());
    models.stop(Duration::from_secs(120)).await;

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
        let models = ground.fold(Mended).await;
        assert_eq!(names(&ground).await, names_then);
        assert_eq!(models.parked_count().await.unwrap(), parked_then);
        models.stop(Duration::from_secs(120)).await;
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
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while parked().await < 2 {
        assert!(tokio::time::Instant::now() < deadline, "both are parked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    follower.stop(Duration::from_secs(120)).await;
    // The same program goes on after them.
    let follower = start(true).await;
    let third = ground.rename("three").await.landed[0].position;
    until("the third is seen", || !seen.lock().is_empty()).await;
    follower.stop(Duration::from_secs(120)).await;
    assert_eq!(parked().await, 2);
    assert_eq!(*seen.lock(), [third]);
    parked_by(&ground, "older").await;
    let follower = start(true).await;
    until("the others are seen", || seen.lock().len() == 3).await;
    follower.stop(Duration::from_secs(120)).await;
    assert_eq!(seen.lock()[1..], positions);
    assert_eq!(parked().await, 0);
}

/// Fails until somebody mends what is in its way.
struct Hindered(Arc<AtomicBool>);

impl Handler for Hindered {
    fn handle<'a>(
        &'a mut self,
        records: &'a [StoredRecord],
        _stop: &'a mut Stop,
    ) -> BoxFuture<'a, Result<Handled, Stopped>> {
        let mut handled = Handled::default();
        if !self.0.load(Ordering::SeqCst) {
            let parked = records
                .iter()
                .map(|record| park("hindered", record, &"cannot"));
            handled.parked.extend(parked);
        }
        Box::pin(async { Ok(handled) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_tries_again_when_somebody_wants_it() {
    let ground = Ground::new().await;
    let works = Arc::new(AtomicBool::new(false));
    let handler = Hindered(works.clone());
    let follower = follow(ground.source(), "hindered", Family::Users, handler)
        .await
        .unwrap();
    ground.rename("one").await;
    let database = ground.store.models();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    let mut is_asked = false;
    loop {
        let parked = parked::all(&*database, 10).await.unwrap();
        match parked.first() {
            Some(one) if !is_asked => {
                works.store(true, Ordering::SeqCst);
                assert_eq!(
                    parked::one(&*database, one).await.unwrap().as_ref(),
                    Some(one)
                );
                database.apply(vec![one.again()], Vec::new()).await.unwrap();
                is_asked = true;
            }
            None if is_asked => break,
            _ => {}
        }
        assert!(tokio::time::Instant::now() < deadline, "it is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    follower.stop(Duration::from_secs(120)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_is_parked_the_database_is_not_asked() {
    let ground = Ground::new().await;
    let (store, tail) = ground.source();
    let mut lookout = Lookout::new(tail.clone(), "reader");
    // Nobody knows yet.
    assert!(lookout.has_reason());
    assert!(lookout.look(&*store).await.unwrap().is_empty());
    assert!(!lookout.has_reason());
    let shard = Shard {
        family: Family::Users,
        number: 0,
    };
    let parked = Parked {
        entity: "user:@a:b".to_owned(),
        reason: "poison".to_owned(),
        program: "older".to_owned(),
        ..Parked::at("reader", shard, 1)
    };
    let database = store.models();
    let park = database.apply(vec![parked.park()], Vec::new());
    park.await.unwrap();
    assert!(lookout.look(&*store).await.unwrap().is_empty());
    tail.note_parked();
    assert!(lookout.has_reason());
    // As long as it is there somebody may want it.
    for _ in 0..2 {
        let found = lookout.look(&*store).await.unwrap();
        assert_eq!(found, std::slice::from_ref(&parked));
        assert!(lookout.has_reason());
    }
    let release = database.apply(vec![parked.release()], Vec::new());
    release.await.unwrap();
    assert!(lookout.look(&*store).await.unwrap().is_empty());
    assert!(!lookout.has_reason());
}
