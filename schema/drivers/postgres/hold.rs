//! Databases that a migration has for itself: all of a house.
//!
//! The connection that writes has the lock that every writer of the log shares: when it breaks, nothing more is written. What an earlier migration that was
//! killed had sent is waited for, so that nothing of it arrives late.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
    time::Duration,
};

use tokio::sync::Mutex;
use tokio_postgres::{Error, Row, Transaction};

use super::{
    super::{
        PostgresConfig,
        plan::{bound, check_put},
        texts::texts,
    },
    PostgresStore, configure_all,
    connection::{Connection, failure},
    dsn::Address,
    ground::{self, Facts, set_meta},
    join, read, register,
    several::{self, Seat},
    stores,
};
use crate::{
    address::{Entity, Family, Place, Position, Shard},
    ground::{meta, unfinished},
    migrate::port::{HeldStore, Put, Side},
    port::{ChainedRecord, Head, LogStore, Snapshot, StoreError, StoreFuture, StoredRecord},
    record::Kind,
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
    name: String,
    named: String,
    insert: String,
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
            name: format!(
                "INSERT INTO entity_{family} (name) SELECT unnest($1::text[]) ON CONFLICT (name) DO NOTHING"
            ),
            named: format!("SELECT name, id FROM entity_{family} WHERE name = ANY($1::text[])"),
            insert: format!(
                "INSERT INTO log_{family} (place, entity, sequence, kind, epoch, at_ms, chain, erased, key, payload) \
                 SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
                 $7::bytea[], $8::bytea[], $9::text[], $10::bytea[])"
            ),
        }
    }
}

/// The locks keep everybody else from writing.
pub(crate) struct PostgresHold {
    /// Over all databases.
    log: Arc<dyn LogStore>,
    /// In their order; never empty.
    parts: Vec<HeldPart>,
}

/// One of the databases.
struct HeldPart {
    store: Arc<PostgresStore>,
    /// Has the lock, and writes.
    connection: Mutex<Connection>,
}

impl PostgresHold {
    /// Connects, waits until nobody else is there, and makes the tables of databases that are to be filled.
    pub(crate) async fn open(config: &PostgresConfig, side: Side) -> Result<Self, StoreError> {
        let mut addresses = configure_all(config)?;
        let mut connections = Vec::with_capacity(addresses.len());
        let count = addresses.len();
        for (index, address) in addresses.iter_mut().enumerate() {
            address.config.application_name(PROGRAM);
            let connection = lock(address).await;
            connections.push(connection.map_err(|error| several::name((index, count), error))?);
        }
        let found = several::found(&addresses).await?;
        let wanted = wanted(&found, side)?;
        let made = several::make(&addresses, &found, wanted).await?;
        let layout = made.first().map_or(wanted.layout, |first| first.layout);
        let stores = stores(config, addresses, layout);
        let parts = stores.iter().zip(connections);
        let part = |(store, connection): (&Arc<PostgresStore>, Connection)| HeldPart {
            store: Arc::clone(store),
            connection: Mutex::new(connection),
        };
        Ok(Self {
            parts: parts.map(part).collect(),
            log: join(stores),
        })
    }

    fn part_of(&self, shard: Shard) -> &HeldPart {
        &self.parts[usize::from(shard.number) % self.parts.len()]
    }

    /// The last one first: as long as one of them is unfinished, all are.
    async fn say_unfinished(&self, is_unfinished: bool) -> Result<(), StoreError> {
        let value = (meta::UNFINISHED, i64::from(is_unfinished));
        for part in self.parts.iter().rev() {
            let connection = part.connection.lock().await;
            set_meta(&connection.client, value).await?;
        }
        Ok(())
    }

    async fn complete_now(&self) -> Result<(), StoreError> {
        for part in &self.parts {
            let connection = part.connection.lock().await;
            let told = connection.client.batch_execute("ANALYZE").await;
            told.map_err(|error| failure(&error))?;
        }
        let mut heads = Vec::new();
        for family in Family::ALL {
            heads.extend(self.log.heads(family).await?);
        }
        {
            // The register is new: without this its first claims would be refused, for the log has seen later terms.
            let connection = self.parts[0].connection.lock().await;
            register::continue_after(&connection.client, &heads).await?;
        }
        self.say_unfinished(false).await
    }

    async fn put_now(&self, put: Put<'_>) -> Result<(), StoreError> {
        check_put(&put)?;
        let mut connection = self.part_of(put.before.shard).connection.lock().await;
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

    /// Each database tells its first ones; the first of all are among them.
    async fn snapshots_now(
        &self,
        family: Family,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(Entity, Snapshot)>, StoreError> {
        let sql = &texts(family).snapshots;
        let most = bound(limit as u64);
        let mut all = Vec::new();
        for part in &self.parts {
            let rows = part.store.pool.query(sql, &[&after, &most]).await?;
            for row in &rows {
                all.push(read::snapshot_of(row)?);
            }
        }
        all.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        all.truncate(limit);
        Ok(all)
    }
}

/// What the databases are to be, by what they are.
fn wanted(found: &[Option<Facts>], side: Side) -> Result<Facts, StoreError> {
    let unfinished_part = found.iter().flatten().any(|facts| facts.is_unfinished);
    match (side, found.first().copied().flatten()) {
        (Side::From | Side::Backup, None) => Err(StoreError::Incompatible(
            "there is no Playhouse database at this PostgreSQL address".into(),
        )),
        (Side::From, Some(_)) if unfinished_part => Err(unfinished()),
        (Side::From | Side::Backup, Some(_)) if found.iter().any(Option::is_none) => {
            Err(StoreError::Incompatible(
                "the databases were never all made: start the server once".into(),
            ))
        }
        (_, Some(facts)) => Ok(facts),
        (Side::To(layout), None) => Ok(Facts {
            layout,
            seat: Seat::first_of(found.len()),
            is_whole: true,
            is_unfinished: true,
        }),
    }
}

/// A connection that has a database's log alone, and may take its time.
async fn lock(address: &Address) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_patiently(address).await?;
    be_alone(&mut connection).await?;
    // Statistics over everything take their time, and so may whoever looks at what is copied.
    let patient = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
    let set = connection.client.batch_execute(patient).await;
    set.map_err(|error| failure(&error))?;
    Ok(connection)
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
            &texts(before.shard.family).advance,
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
        Arc::clone(&self.log)
    }

    fn is_unfinished(&self) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            for part in &self.parts {
                let connection = part.connection.lock().await;
                let facts = ground::facts(&connection.client).await?;
                if facts.is_some_and(|facts| facts.is_unfinished) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    fn begin(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.say_unfinished(true))
    }

    /// What was committed is on disk; without statistics the first questions would be answered by long searches. The log has come with its epochs: without
    /// terms that follow them it would refuse one claim after the other.
    fn complete(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.complete_now())
    }

    fn check_hold(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for part in &self.parts {
                let connection = part.connection.lock().await;
                let answer = connection.client.batch_execute("SELECT 1").await;
                answer.map_err(|error| {
                    StoreError::Locked(format!(
                        "the connection that kept others out has ended: {}",
                        failure(&error)
                    ))
                })?;
            }
            Ok(())
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
        Box::pin(self.snapshots_now(family, after, limit))
    }

    /// All databases count: what lies in a wrong one is one too many.
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
            let mut counts: BTreeMap<Kind, u64> = BTreeMap::new();
            for part in &self.parts {
                for row in &part.store.pool.query(sql, &[&from, &to]).await? {
                    let (kind, count) = read::kind_count(row)?;
                    *counts.entry(kind).or_default() += count;
                }
            }
            Ok(counts.into_iter().collect())
        })
    }
}
