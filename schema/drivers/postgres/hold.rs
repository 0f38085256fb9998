//! A database that a migration has for itself.
//!
//! The connection that writes has the lock that every writer of the log shares: when it breaks, nothing more is written. What an earlier migration that was killed
//! had sent is waited for, so that nothing of it arrives late.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::sync::Mutex;
use tokio_postgres::{Error, Row, Transaction};

use super::{
    super::{
        plan::{bound, check_put},
        texts::texts,
        writers_within,
    },
    PostgresStore, configure,
    connection::{Connection, failure},
    ground::{self, Facts, set_meta},
    read,
};
use crate::{
    address::{Entity, Family, Place, Position, Shard},
    ground::{meta, unfinished},
    migrate::port::{HeldStore, Put, Side},
    port::{ChainedRecord, Head, LogStore, Snapshot, StoreError, StoreFuture, StoredRecord},
    record::Kind,
    register::TERM_SHIFT,
};

/// What the connections of a migration call themselves.
const PROGRAM: &str = "playhouse migrate";

/// How often it is looked whether somebody else has gone.
const POLL: Duration = Duration::from_millis(100);

/// So often: a server that was just killed, and what it had sent, needs a moment to end.
const POLLS_MAX: usize = 50;

/// Connections of other migrations, also of those that the server has not yet ended.
const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid()";

/// The statements of a family.
struct Texts {
    advance: String,
    name: String,
    named: String,
    insert: String,
    follow: String,
}

static TEXTS: LazyLock<[Texts; 3]> = LazyLock::new(|| Family::ALL.map(Texts::new));

fn put_texts(family: Family) -> &'static Texts {
    match family {
        Family::Rooms => &TEXTS[0],
        Family::Users => &TEXTS[1],
        Family::Servers => &TEXTS[2],
    }
}

impl Texts {
    fn new(family: Family) -> Self {
        Self {
            advance: format!(
                "UPDATE shard_{family} SET head = $1, chain = $2, epoch = $3 WHERE shard = $4 AND head = $5 AND chain = $6"
            ),
            name: format!(
                "INSERT INTO entity_{family} (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING"
            ),
            named: format!("SELECT name, id FROM entity_{family} WHERE name = ANY($1::text[])"),
            insert: format!(
                "INSERT INTO log_{family} (place, entity, sequence, kind, epoch, at_ms, chain, erased, key, payload) \
                 SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
                 $7::bytea[], $8::bytea[], $9::text[], $10::bytea[])"
            ),
            follow: format!(
                "UPDATE placement AS p SET term = GREATEST(p.term, s.epoch >> {TERM_SHIFT}) FROM shard_{family} AS s \
                 WHERE p.family = '{family}' AND p.shard = s.shard"
            ),
        }
    }
}

/// The lock keeps everybody else from writing.
pub(crate) struct PostgresHold {
    store: Arc<PostgresStore>,
    /// Has the lock, and writes.
    connection: Mutex<Connection>,
}

impl PostgresHold {
    /// Connects, waits until nobody else is there, and makes the tables of a database that is to be filled.
    pub(crate) async fn open(
        dsn: &str,
        (writers, owner): (usize, String),
        side: Side,
    ) -> Result<Self, StoreError> {
        let mut config = configure(dsn)?;
        config.application_name(PROGRAM);
        let mut connection = Connection::open_patiently(&config).await?;
        be_alone(&mut connection).await?;
        // Statistics over everything take their time.
        let patient = "SET statement_timeout = 0";
        let set = connection.client.batch_execute(patient).await;
        set.map_err(|error| failure(&error))?;
        let there = ground::facts(&connection.client).await?;
        let wanted = match (side, there) {
            (Side::From, None) => {
                return Err(StoreError::Incompatible(
                    "there is no Playhouse database at this PostgreSQL address".into(),
                ));
            }
            (Side::From, Some(facts)) if facts.is_unfinished => return Err(unfinished()),
            (_, Some(facts)) => facts,
            (Side::To(layout), None) => Facts {
                layout,
                is_unfinished: true,
            },
        };
        let facts = ground::prepare(&config, wanted).await?;
        let writers = writers_within(writers, facts.layout);
        let store = PostgresStore::over(config, facts.layout, (writers, owner));
        Ok(Self {
            store: Arc::new(store),
            connection: Mutex::new(connection),
        })
    }

    async fn say_unfinished(&self, is_unfinished: bool) -> Result<(), StoreError> {
        let connection = self.connection.lock().await;
        let value = (meta::UNFINISHED, i64::from(is_unfinished));
        set_meta(&connection.client, value).await
    }

    async fn put_now(&self, put: Put<'_>) -> Result<(), StoreError> {
        check_put(&put)?;
        let mut connection = self.connection.lock().await;
        let transaction = connection.client.transaction().await;
        let transaction = transaction.map_err(|error| failure(&error))?;
        if !advance(&transaction, &put.before, &put.after)
            .await
            .map_err(|error| failure(&error))?
        {
            return Err(StoreError::Fenced(put.before.shard));
        }
        if !put.records.is_empty() {
            insert(&transaction, put.before.shard.family, put.records).await?;
        }
        transaction.commit().await.map_err(|error| failure(&error))
    }
}

/// Takes the lock and waits until no other migration is there.
async fn be_alone(connection: &mut Connection) -> Result<(), StoreError> {
    let mut is_locked = false;
    for _ in 0..POLLS_MAX {
        is_locked = is_locked || connection.try_lock_alone().await?;
        if is_locked {
            let rows = connection.query(OTHERS, &[&PROGRAM]).await;
            let rows = rows.map_err(|error| failure(&error))?;
            if rows.first().is_some_and(|row| row.get::<_, i64>(0) == 0) {
                return Ok(());
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err(StoreError::Locked(
        "the database is in use by a server, or by another command".into(),
    ))
}

async fn advance(
    transaction: &Transaction<'_>,
    before: &Head,
    after: &Head,
) -> Result<bool, Error> {
    let changed = transaction
        .execute(
            &put_texts(before.shard.family).advance,
            &[
                &bound(after.position),
                &&after.chain[..],
                &bound(after.epoch),
                &i64::from(before.shard.number),
                &bound(before.position),
                &&before.chain[..],
            ],
        )
        .await?;
    Ok(changed == 1)
}

async fn insert(
    transaction: &Transaction<'_>,
    family: Family,
    records: &[ChainedRecord],
) -> Result<(), StoreError> {
    let texts = put_texts(family);
    let new = names(records, |record| record.sequence == 1);
    if !new.is_empty() {
        let made = transaction.execute(&texts.name, &[&new]).await;
        made.map_err(|error| failure(&error))?;
    }
    let all = names(records, |_| true);
    let rows = transaction.query(&texts.named, &[&all]).await;
    let rows = rows.map_err(|error| failure(&error))?;
    let entities = numbers_of(&rows, records)?;
    insert_rows(transaction, &texts.insert, (records, &entities))
        .await
        .map_err(|error| failure(&error))
}

/// The names of the entities that write some of the records, each once.
fn names(records: &[ChainedRecord], which: fn(&StoredRecord) -> bool) -> Vec<String> {
    let records = records.iter().map(|chained| &chained.record);
    let names = records
        .filter(|record| which(record))
        .map(|record| record.entity.as_str().to_owned());
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The log's number for the entity of each record, from rows of names and numbers.
fn numbers_of(rows: &[Row], records: &[ChainedRecord]) -> Result<Vec<i64>, StoreError> {
    let numbers: BTreeMap<&str, i64> = rows
        .iter()
        .map(|row| (row.get::<_, &str>(0), row.get::<_, i64>(1)))
        .collect();
    let number_of = |chained: &ChainedRecord| {
        let record = &chained.record;
        let number = numbers.get(record.entity.as_str()).copied();
        number.ok_or_else(|| {
            StoreError::Damaged(format!(
                "{} position {}: its entity has no first record before it",
                record.shard, record.position
            ))
        })
    };
    records.iter().map(number_of).collect()
}

/// A column of numbers.
fn column(records: &[ChainedRecord], read: fn(&StoredRecord) -> i64) -> Vec<i64> {
    records
        .iter()
        .map(|chained| read(&chained.record))
        .collect()
}

async fn insert_rows(
    transaction: &Transaction<'_>,
    sql: &str,
    (records, entities): (&[ChainedRecord], &[i64]),
) -> Result<(), Error> {
    let places = column(records, |record| {
        Place::new(record.shard.number, record.position).column()
    });
    let sequences = column(records, |record| bound(record.sequence));
    let kinds = column(records, |record| i64::from(record.kind));
    let epochs = column(records, |record| bound(record.epoch));
    let times = column(records, |record| bound(record.at_ms));
    let chains: Vec<&[u8]> = records.iter().map(|chained| &chained.chain[..]).collect();
    let erased: Vec<Option<&[u8]>> = records
        .iter()
        .map(|chained| chained.erased.as_ref().map(|digest| &digest[..]))
        .collect();
    let keys: Vec<Option<&str>> = records
        .iter()
        .map(|chained| chained.record.key.as_deref())
        .collect();
    let payloads: Vec<&[u8]> = records
        .iter()
        .map(|chained| &chained.record.payload[..])
        .collect();
    transaction
        .execute(
            sql,
            &[
                &places, &entities, &sequences, &kinds, &epochs, &times, &chains, &erased, &keys,
                &payloads,
            ],
        )
        .await?;
    Ok(())
}

impl HeldStore for PostgresHold {
    fn log(&self) -> Arc<dyn LogStore> {
        Arc::clone(&self.store) as Arc<dyn LogStore>
    }

    fn is_unfinished(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let connection = self.connection.lock().await;
            let facts = ground::facts(&connection.client).await?;
            Ok(facts.is_some_and(|facts| facts.is_unfinished))
        })
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.say_unfinished(true))
    }

    /// What was committed is on disk; without statistics the first questions would be answered by long searches. The log has come with its epochs: without
    /// terms that follow them it would refuse one claim after the other.
    fn complete(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            {
                let connection = self.connection.lock().await;
                for family in Family::ALL {
                    let followed = connection.client.execute(&put_texts(family).follow, &[]);
                    followed.await.map_err(|error| failure(&error))?;
                }
                let told = connection.client.batch_execute("ANALYZE").await;
                told.map_err(|error| failure(&error))?;
            }
            self.say_unfinished(false).await
        })
    }

    fn check_hold(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let connection = self.connection.lock().await;
            let answer = connection.client.batch_execute("SELECT 1").await;
            answer.map_err(|error| {
                StoreError::Locked(format!(
                    "the connection that kept others out has ended: {}",
                    failure(&error)
                ))
            })
        })
    }

    fn put<'a>(&'a self, put: Put<'a>) -> StoreFuture<'a, ()> {
        Box::pin(self.put_now(put))
    }

    fn snapshots<'a>(
        &'a self,
        family: Family,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<(Entity, Snapshot)>> {
        Box::pin(async move {
            let sql = &texts(family).snapshots;
            let limit = bound(limit as u64);
            let rows = self.store.pool.query(sql, &[&after, &limit]).await?;
            rows.iter().map(read::snapshot_of).collect()
        })
    }

    fn count_kinds(
        &self,
        shard: Shard,
        after: Position,
        to: Position,
    ) -> StoreFuture<'_, Vec<(Kind, u64)>> {
        Box::pin(async move {
            let (from, to) = (
                Place::new(shard.number, after).column(),
                Place::new(shard.number, to).column(),
            );
            let sql = &texts(shard.family).count_kinds;
            let rows = self.store.pool.query(sql, &[&from, &to]).await?;
            rows.iter().map(read::kind_count).collect()
        })
    }
}
