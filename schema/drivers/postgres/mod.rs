//! PostgreSQL: one database for any number of nodes.
//!
//! An append is one auto-committed statement that checks owner, epoch and head of each shard it touches, so a stale owner writes nothing, whenever its statement
//! arrives. Reads go through a few connections that are made on demand on the runtime in which the store was opened; an appender's connection lives on
//! the runtime that opens the appender. There is no TLS: the database is reached over a socket or a private network.

mod append;
mod connection;
mod ground;
mod hold;
mod models;
mod read;
mod register;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_postgres::Config;

pub(crate) use self::hold::PostgresHold;
use self::{
    append::PostgresAppender, connection::Pool, ground::Facts, models::PostgresModels,
    register::PostgresRegister,
};
use super::{
    plan::{bound, stretch},
    texts::{key_prefix, texts},
};
use crate::{
    address::{Entity, Family, Layout, Position, Sequence, Shard},
    port::{
        ChainedRecord, EntityHead, EntityRange, Head, LogAppender, LogStore, ModelStore, Snapshot,
        StoreError, StoreFuture, StoredRecord,
    },
    register::Register,
};

/// A statement that takes longer is ended by the server.
const STATEMENT_TIMEOUT_MS: u32 = 30_000;

/// One of the register: nobody waits for it as long as that.
const REGISTER_TIMEOUT_MS: u32 = 5_000;

/// A connection is not waited for any longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that the server does not acknowledge for so long end the connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// An opened database.
pub(crate) struct PostgresStore {
    config: Config,
    pool: Arc<Pool>,
    models: Arc<PostgresModels>,
    register: Arc<PostgresRegister>,
    layout: Layout,
    writers: usize,
    owner: String,
    /// Appenders opened so far: part of what an owner calls itself, so that no two appenders are taken for one.
    opened: AtomicU64,
}

impl PostgresStore {
    /// Connects, makes or updates the tables.
    pub(crate) async fn open(
        dsn: &str,
        writers: usize,
        owner: String,
        layout: Layout,
    ) -> Result<Self, StoreError> {
        let config = configure(dsn)?;
        let wanted = Facts {
            layout,
            is_unfinished: false,
        };
        let facts = ground::prepare(&config, wanted).await?;
        if facts.is_unfinished {
            return Err(crate::ground::unfinished());
        }
        let writers = super::writers_within(writers, facts.layout);
        Ok(Self::over(config, facts.layout, (writers, owner)))
    }

    /// A store over a database that is ready.
    fn over(config: Config, layout: Layout, (writers, owner): (usize, String)) -> Self {
        let pool = Arc::new(Pool::new(config.clone()));
        Self {
            models: Arc::new(PostgresModels::new(Arc::clone(&pool))),
            register: Arc::new(PostgresRegister::new(Pool::new(hasty(&config)))),
            config,
            pool,
            layout,
            writers,
            owner,
            opened: AtomicU64::new(0),
        }
    }
}

/// Connections whose statements are soon given up: a node that asks again must not leave ever more of them behind.
fn hasty(config: &Config) -> Config {
    let mut hasty = config.clone();
    let options = config.get_options().unwrap_or_default();
    // The last one counts.
    hasty.options(format!(
        "{options} -c statement_timeout={REGISTER_TIMEOUT_MS}"
    ));
    hasty
}

fn configure(dsn: &str) -> Result<Config, StoreError> {
    // What the parser says may repeat the password.
    let mut config: Config = dsn
        .parse()
        .map_err(|_| StoreError::Incompatible("the PostgreSQL address is malformed".into()))?;
    let options = format!(
        "{} -c statement_timeout={STATEMENT_TIMEOUT_MS}",
        config.get_options().unwrap_or_default()
    );
    config.options(options.trim());
    config.connect_timeout(CONNECT_TIMEOUT);
    config.tcp_user_timeout(TCP_USER_TIMEOUT);
    if config.get_application_name().is_none() {
        config.application_name("playhouse");
    }
    Ok(config)
}

impl LogStore for PostgresStore {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn appenders(&self, _family: Family) -> usize {
        self.writers
    }

    fn open_appender(&self, family: Family, index: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        Box::pin(async move {
            if index >= self.writers {
                return Err(StoreError::Database(format!(
                    "family {family} has {} appenders, so none is number {index}",
                    self.writers
                )));
            }
            let number = self.opened.fetch_add(1, Ordering::Relaxed);
            let part = append::Part {
                family,
                index,
                writers: self.writers,
                owner: format!("{} {}.{number}", self.owner, std::process::id()),
            };
            let appender = PostgresAppender::open(self.config.clone(), self.layout, part).await?;
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

    /// A vacuum of what erasures touch takes old versions of rows out of all reach of SQL and makes room for new ones. The bytes on the pages, in the server's own
    /// write-ahead log and in its backups are the server's to overwrite.
    fn scrub(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            for vacuum in read::VACUUMS.iter() {
                self.pool.query(vacuum, &[]).await?;
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

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let sql = "SELECT pg_database_size(current_database())";
            let rows = self.pool.query(sql, &[]).await?;
            rows.first().map_or(Ok(0), |row| read::number(row, 0))
        })
    }
}
