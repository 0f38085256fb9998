//! PostgreSQL: one database, or several, for any number of nodes.
//!
//! An append is one auto-committed statement that checks owner, epoch and head of each shard it touches, so a stale owner writes nothing, whenever its statement
//! arrives. Reads go through a few connections that are made on demand on the runtime in which the store was opened; an appender's connection lives on
//! the runtime that opens the appender. All connections are made in one place (`dsn`), over TLS where the address says so.

mod append;
mod connection;
mod dsn;
mod ground;
mod hold;
mod models;
mod read;
mod register;
mod several;
mod spread;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub(crate) use self::hold::PostgresHold;
use self::{
    append::PostgresAppender,
    connection::{Lent, Pool, failure},
    dsn::Address,
    ground::Facts,
    models::PostgresModels,
    register::PostgresRegister,
    several::Seat,
    spread::SpreadStore,
};
use super::{
    PostgresBounds, PostgresConfig,
    plan::{bound, stretch},
    texts::{key_prefix, texts},
    writers_within,
};
use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard},
    port::{
        ChainedRecord, Connections, EntityHead, EntityRange, Head, KindSize, LogAppender, LogStore,
        ModelStore, Snapshot, StoreError, StoreFuture, StoredRecord,
    },
    register::Register,
};

/// A statement of the register that takes longer is ended by the server: nobody waits for it as long as for others.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(5);

/// A node that says nothing for so long in the middle of a transaction has stopped or is cut off: others, who wait for what it has locked, shall have it when
/// its lease ends.
const IDLE_MAX: Duration = Duration::from_secs(2);

/// A connection is not waited for any longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that the server does not acknowledge for so long end the connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that has said nothing for so long, because it works or because it is gone, is asked whether it is there …
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);

/// … and again after this.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// Connections for the register: a lease must not run out because long questions are under way.
const REGISTER_CONNECTIONS: usize = 2;

/// So many connections are open before anybody asks.
const WARM_CONNECTIONS: usize = 3;

/// Opens the databases of a house, makes or updates their tables.
pub(crate) async fn open(
    config: &PostgresConfig,
    layout: Layout,
) -> Result<Arc<dyn LogStore>, StoreError> {
    let addresses = configure_all(config)?;
    let found = several::found(&addresses).await?;
    if found.iter().flatten().any(|facts| facts.is_unfinished) {
        return Err(crate::ground::unfinished());
    }
    let wanted = Facts {
        layout,
        seat: Seat::first_of(addresses.len()),
        is_whole: true,
        is_unfinished: false,
    };
    let made = several::make(&addresses, &found, wanted).await?;
    if made.iter().any(|facts| facts.is_unfinished) {
        return Err(crate::ground::unfinished());
    }
    let layout = made.first().map_or(layout, |first| first.layout);
    Ok(join(stores(config, addresses, layout)))
}

/// Opens databases that a server may be using. Nothing is made or brought up to date.
pub(crate) async fn open_beside(config: &PostgresConfig) -> Result<Arc<dyn LogStore>, StoreError> {
    let addresses = configure_all(config)?;
    for (index, address) in addresses.iter().enumerate() {
        let prepared = ground::must_be_prepared(address).await;
        prepared.map_err(|error| several::name((index, addresses.len()), error))?;
    }
    open(config, Layout::default()).await
}

/// Stores over databases that are ready, in their order.
fn stores(
    config: &PostgresConfig,
    addresses: Vec<Address>,
    layout: Layout,
) -> Vec<Arc<PostgresStore>> {
    let databases = addresses.len();
    let here = Layout {
        shards: layout.shards / databases as u16,
        ..layout
    };
    let share = Share {
        layout,
        writers: writers_within(config.writers, here) * databases,
        owner: config.owner.clone(),
        bounds: config.bounds,
    };
    let store = |address| Arc::new(PostgresStore::over(address, share.clone()));
    addresses.into_iter().map(store).collect()
}

/// One store over the databases of a house.
fn join(mut stores: Vec<Arc<PostgresStore>>) -> Arc<dyn LogStore> {
    if stores.len() > 1 {
        return Arc::new(SpreadStore::new(stores));
    }
    stores.remove(0)
}

/// What the stores of a house have in common.
#[derive(Clone)]
struct Share {
    layout: Layout,
    /// Appenders of each family, in all databases together.
    writers: usize,
    owner: String,
    bounds: PostgresBounds,
}

/// An opened database.
pub(crate) struct PostgresStore {
    address: Address,
    pool: Arc<Pool>,
    models: Arc<PostgresModels>,
    register: Arc<PostgresRegister>,
    share: Share,
    /// Appenders opened so far: part of what an owner calls itself, so that no two appenders are taken for one.
    opened: AtomicU64,
}

impl PostgresStore {
    /// A store over a database that is ready.
    fn over(address: Address, share: Share) -> Self {
        let pool = Arc::new(Pool::new(address.clone(), share.bounds));
        let bounds = PostgresBounds {
            connections: REGISTER_CONNECTIONS,
            statement_timeout: REGISTER_TIMEOUT,
        };
        let register = Arc::new(Pool::new(hasty(&address), bounds));
        Self {
            models: Arc::new(PostgresModels::new(Arc::clone(&pool))),
            register: Arc::new(PostgresRegister::new(register)),
            address,
            pool,
            share,
            opened: AtomicU64::new(0),
        }
    }
}

/// The databases' addresses in their order, at least one.
fn configure_all(config: &PostgresConfig) -> Result<Vec<Address>, StoreError> {
    if config.dsns.is_empty() {
        let why = "no PostgreSQL address is named";
        return Err(StoreError::Incompatible(why.into()));
    }
    let address = |dsn: &String| configure(dsn, config.bounds);
    config.dsns.iter().map(address).collect()
}

/// Connections whose statements are soon given up: a node that asks again must not leave ever more of them behind.
fn hasty(address: &Address) -> Address {
    let mut hasty = address.clone();
    let options = address.config.get_options().unwrap_or_default();
    // The last one counts.
    hasty.config.options(format!(
        "{options} -c statement_timeout={}",
        REGISTER_TIMEOUT.as_millis()
    ));
    hasty
}

fn configure(dsn: &str, bounds: PostgresBounds) -> Result<Address, StoreError> {
    let mut address = Address::parse(dsn)?;
    let config = &mut address.config;
    let timeout_ms = bounds.statement_timeout.as_millis();
    let timeout_ms = timeout_ms.clamp(1, i32::MAX as u128);
    let options = format!(
        "{} -c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={}",
        config.get_options().unwrap_or_default(),
        IDLE_MAX.as_millis()
    );
    config.options(options.trim());
    config.connect_timeout(CONNECT_TIMEOUT);
    config.tcp_user_timeout(TCP_USER_TIMEOUT);
    config.keepalives_idle(KEEPALIVE_IDLE);
    config.keepalives_interval(KEEPALIVE_INTERVAL);
    if config.get_application_name().is_none() {
        config.application_name("playhouse");
    }
    Ok(address)
}

impl LogStore for PostgresStore {
    fn layout(&self) -> Layout {
        self.share.layout
    }

    fn appenders(&self, _family: Family) -> usize {
        self.share.writers
    }

    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        Box::pin(async move {
            let Share {
                layout,
                writers,
                bounds,
                ..
            } = self.share;
            if index >= writers {
                return Err(StoreError::Database(format!(
                    "family {family} has {writers} appenders, so none is number {index}"
                )));
            }
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            let part = append::Part {
                family,
                index,
                writers,
                owner: format!("{} {}.{number}", self.share.owner, std::process::id()),
                bounds,
            };
            let appender = PostgresAppender::open(self.address.clone(), layout, part).await?;
            Ok(Box::new(appender) as Box<dyn LogAppender>)
        })
    }

    fn heads(&self, family: Family) -> StoreFuture<'_, Vec<Head>> {
        Box::pin(async move {
            let rows = self.pool.query(&texts(family).heads, &[]).await?;
            rows.iter()
                .map(|row| Ok(read::head(row, family)?.head))
                .collect()
        })
    }

    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        Box::pin(async move {
            let texts = texts(entity.family());
            let sql = if range.backwards {
                &texts.entity_backwards
            } else {
                &texts.entity_forwards
            };
            let (from, to) = (bound(range.from), bound(range.to));
            let limit = bound(range.limit as u64);
            let rows = self
                .pool
                .query(sql, &[&entity.as_str(), &from, &to, &limit])
                .await?;
            read::records(&rows, entity.family())
        })
    }

    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        Box::pin(async move {
            let sequences: Vec<i64> = sequences.iter().copied().map(bound).collect();
            let sql = read::some_text(entity.family());
            let rows = self
                .pool
                .query(sql, &[&entity.as_str(), &sequences])
                .await?;
            read::records(&rows, entity.family())
        })
    }

    fn sizes<'a>(
        &'a self,
        entity: &'a Entity,
        (from, to): (Sequence, Sequence),
    ) -> StoreFuture<'a, Vec<KindSize>> {
        Box::pin(async move {
            let sql = &texts(entity.family()).entity_sizes;
            let (from, to) = (bound(from), bound(to));
            let rows = self
                .pool
                .query(sql, &[&entity.as_str(), &from, &to])
                .await?;
            rows.iter().map(read::kind_size).collect()
        })
    }

    fn entity_heads<'a>(
        &'a self,
        entities: &'a [Entity],
    ) -> StoreFuture<'a, Vec<Option<EntityHead>>> {
        Box::pin(async move {
            let mut heads = vec![None; entities.len()];
            for family in Family::ALL {
                let asked: Vec<(usize, &Entity)> = entities
                    .iter()
                    .enumerate()
                    .filter(|(_, entity)| entity.family() == family)
                    .collect();
                if asked.is_empty() {
                    continue;
                }
                let names: Vec<&str> = asked.iter().map(|(_, entity)| entity.as_str()).collect();
                let sql = read::entity_heads_text(family);
                for row in self.pool.query(sql, &[&names]).await? {
                    let (nth, head) = read::entity_head(&row, family)?;
                    if let Some((index, _)) = asked.get(nth) {
                        heads[*index] = Some(head);
                    }
                }
            }
            Ok(heads)
        })
    }

    fn find<'a>(&'a self, family: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        Box::pin(async move {
            let rows = self
                .pool
                .query(&texts(family).find, &[&key_prefix(key), &key])
                .await?;
            Ok(read::records(&rows, family)?
                .into_iter()
                .max_by_key(|record| record.position))
        })
    }

    fn find_some(&self, family: Family, keys: Vec<String>) -> StoreFuture<'_, Vec<StoredRecord>> {
        Box::pin(read::find_some(&self.pool, family, keys))
    }

    fn read_shard(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<StoredRecord>> {
        Box::pin(async move {
            let (from, to) = stretch(shard, after);
            let sql = &texts(shard.family).shard;
            let limit = bound(limit as u64);
            let rows = self.pool.query(sql, &[&from, &to, &limit]).await?;
            read::records(&rows, shard.family)
        })
    }

    fn read_chain(
        &self,
        shard: Shard,
        after: Position,
        limit: usize,
    ) -> StoreFuture<'_, Vec<ChainedRecord>> {
        Box::pin(async move {
            let (from, to) = stretch(shard, after);
            let sql = &texts(shard.family).chain;
            let limit = bound(limit as u64);
            let rows = self.pool.query(sql, &[&from, &to, &limit]).await?;
            read::chained(&rows, shard.family)
        })
    }

    fn load_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, Option<Snapshot>> {
        Box::pin(async move {
            let sql = &texts(entity.family()).snapshot_load;
            let rows = self.pool.query(sql, &[&entity.as_str()]).await?;
            rows.first().map(read::snapshot).transpose()
        })
    }

    fn save_snapshot<'a>(&'a self, entity: &'a Entity, snapshot: Snapshot) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = &texts(entity.family()).snapshot_save;
            let (sequence, version) = (bound(snapshot.sequence), i64::from(snapshot.version));
            let payload = &snapshot.payload[..];
            self.pool
                .query(sql, &[&entity.as_str(), &sequence, &version, &payload])
                .await?;
            Ok(())
        })
    }

    fn drop_snapshot<'a>(&'a self, entity: &'a Entity) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = &texts(entity.family()).snapshot_drop;
            self.pool.query(sql, &[&entity.as_str()]).await?;
            Ok(())
        })
    }

    /// A vacuum takes old versions of rows out of all reach of SQL and makes room for new ones. The bytes on the pages, in the server's own
    /// write-ahead log and in its backups are the server's to overwrite.
    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            // Over a large table it takes longer than any other statement may. What is derived has old versions, too.
            let connection = self.pool.connect().await?;
            for statement in ["SET statement_timeout = 0", "VACUUM"] {
                let done = connection.client.batch_execute(statement).await;
                done.map_err(|error| failure(&error))?;
            }
            Ok(())
        })
    }

    /// Tables are written anew, each locked as long as that takes.
    fn compact(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let connection = self.pool.connect().await?;
            for statement in ["SET statement_timeout = 0", "VACUUM FULL"] {
                let done = connection.client.batch_execute(statement).await;
                done.map_err(|error| failure(&error))?;
            }
            Ok(())
        })
    }

    fn drop_snapshots(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for family in Family::ALL {
                self.pool.query(&texts(family).snapshots_drop, &[]).await?;
            }
            Ok(())
        })
    }

    fn models(&self) -> Arc<dyn ModelStore> {
        Arc::clone(&self.models) as Arc<dyn ModelStore>
    }

    fn register(&self) -> Option<Arc<dyn Register>> {
        Some(Arc::clone(&self.register) as Arc<dyn Register>)
    }

    fn warm(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let mut lent = Vec::new();
            // One is left to others.
            let most = self.share.bounds.connections.saturating_sub(1);
            for _ in 0..WARM_CONNECTIONS.min(most) {
                lent.push(self.pool.lend().await?);
            }
            for one in &mut lent {
                for texts in Family::ALL.map(texts) {
                    for sql in [&texts.snapshot_load, &texts.entity_forwards] {
                        let prepared = one.connection.prepare(sql).await;
                        prepared.map_err(|error| failure(&error))?;
                    }
                }
            }
            lent.into_iter().for_each(Lent::give_back);
            Ok(())
        })
    }

    fn connections(&self) -> Option<Connections> {
        Some(self.pool.counts())
    }

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let sql = "SELECT pg_database_size(current_database())";
            let rows = self.pool.query(sql, &[]).await?;
            rows.first().map_or(Ok(0), |row| read::number(row, 0))
        })
    }
}
