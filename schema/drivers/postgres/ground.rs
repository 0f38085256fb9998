//! Makes and updates the tables.

use tokio_postgres::{Client, Config, GenericClient, Transaction};

use super::connection::{Connection, failure};
use crate::{
    address::{Family, Layout, ShardNumber},
    chain::GENESIS,
    ground::{self, Dialect, META, STEPS, Scope, Step, meta},
    port::StoreError,
};

/// Nodes that start at the same time take turns: the number is arbitrary, but the same for all.
pub(super) const TURN: i64 = 0x0070_6c61_7968_6f75;

/// What a database is fixed to when it is made.
#[derive(Clone, Copy)]
pub(super) struct Facts {
    pub(super) layout: Layout,
    /// A migration fills the database and has not brought everything.
    pub(super) is_unfinished: bool,
}

/// What a database says about itself.
struct Found {
    version: i64,
    facts: Facts,
}

/// Brings the database up to date and tells what it is. A new one becomes what is wanted.
pub(super) async fn prepare(config: &Config, wanted: Facts) -> Result<Facts, StoreError> {
    let mut client = Connection::open_patiently(config).await?.client;
    let found = read_meta(&client).await?;
    if found.is_none_or(|found| found.version < ground::VERSION) {
        // A step over a large table takes its time.
        client
            .batch_execute("SET statement_timeout = 0")
            .await
            .map_err(|error| failure(&error))?;
        for step in &STEPS {
            run(&mut client, step, wanted).await?;
        }
    }
    match read_meta(&client).await? {
        Some(found) => Ok(found.facts),
        None => Err(foreign()),
    }
}

/// What the database says of itself now; `None` when it is new.
pub(super) async fn facts(client: &Client) -> Result<Option<Facts>, StoreError> {
    Ok(read_meta(client).await?.map(|found| found.facts))
}

fn foreign() -> StoreError {
    StoreError::Incompatible("the database has a table `meta` that is not Playhouse's".into())
}

/// `None` when the database is new.
async fn read_meta(client: &impl GenericClient) -> Result<Option<Found>, StoreError> {
    let exists = client
        .query_one("SELECT to_regclass('meta') IS NOT NULL", &[])
        .await
        .map_err(|error| failure(&error))?;
    if !exists.get::<_, bool>(0) {
        return Ok(None);
    }
    let rows = client
        .query("SELECT name::text, value::bigint FROM meta", &[])
        .await
        .map_err(|_| foreign())?;
    let find = |name: &str| {
        rows.iter()
            .find(|row| row.get::<_, &str>(0) == name)
            .map(|row| row.get::<_, i64>(1))
    };
    let value = |name: &str| find(name).ok_or_else(foreign);
    let version = value(meta::VERSION)?;
    ground::check_version(version, value(meta::OLDEST)?)?;
    let shards = ShardNumber::try_from(value(meta::SHARDS)?).map_err(|_| foreign())?;
    if shards == 0 || shards > Layout::SHARDS_MAX {
        return Err(foreign());
    }
    Ok(Some(Found {
        version,
        facts: Facts {
            layout: Layout { shards },
            is_unfinished: find(meta::UNFINISHED).is_some_and(|value| value != 0),
        },
    }))
}

/// Runs a step, unless another node has done so meanwhile.
async fn run(client: &mut Client, step: &Step, wanted: Facts) -> Result<(), StoreError> {
    let transaction = client
        .transaction()
        .await
        .map_err(|error| failure(&error))?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&TURN])
        .await
        .map_err(|error| failure(&error))?;
    let found = read_meta(&transaction).await?;
    let version = found.as_ref().map_or(0, |found| found.version);
    if version >= step.number {
        return Ok(());
    }
    let is_new = found.is_none();
    let layout = found.map_or(wanted, |found| found.facts).layout;
    let mut text = format!("{};", Dialect::Postgres.fill(META));
    let body = step.postgres.unwrap_or(step.shared);
    if body.contains("{{family}}") {
        for family in Family::ALL {
            text.push_str(&Dialect::Postgres.fill_for(body, family));
        }
    } else {
        text.push_str(&Dialect::Postgres.fill(body));
    }
    transaction
        .batch_execute(&text)
        .await
        .map_err(|error| failure(&error))?;
    match step.scope {
        Scope::Log => fill_heads(&transaction, layout).await?,
        Scope::Register => fill_placement(&transaction, layout).await?,
        Scope::Snapshots | Scope::Models => {}
    }
    let values = [
        (meta::VERSION, step.number),
        (meta::OLDEST, ground::OLDEST),
        (meta::SHARDS, i64::from(layout.shards)),
    ];
    for value in values {
        set_meta(&transaction, value).await?;
    }
    if is_new && wanted.is_unfinished {
        set_meta(&transaction, (meta::UNFINISHED, 1)).await?;
    }
    transaction.commit().await.map_err(|error| failure(&error))
}

/// Says a number about the database.
pub(super) async fn set_meta(
    client: &impl GenericClient,
    (name, value): (&str, i64),
) -> Result<(), StoreError> {
    client
        .execute(
            "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            &[&name, &value],
        )
        .await
        .map_err(|error| failure(&error))?;
    Ok(())
}

async fn fill_heads(transaction: &Transaction<'_>, layout: Layout) -> Result<(), StoreError> {
    for family in Family::ALL {
        let sql = format!(
            "INSERT INTO shard_{family} (shard, owner, epoch, head, chain, batch) \
             SELECT shard, '', 0, 0, $1, $2 FROM generate_series(0, $3 - 1) AS shard ON CONFLICT (shard) DO NOTHING"
        );
        let shards = i32::from(layout.shards as i16);
        transaction
            .execute(&sql, &[&&GENESIS[..], &&[0_u8; 16][..], &shards])
            .await
            .map_err(|error| failure(&error))?;
    }
    Ok(())
}

async fn fill_placement(transaction: &Transaction<'_>, layout: Layout) -> Result<(), StoreError> {
    for family in Family::ALL {
        let sql = "INSERT INTO placement (family, shard, term) SELECT $1, shard, 0 FROM generate_series(0, $2 - 1) AS shard ON CONFLICT DO NOTHING";
        let shards = i32::from(layout.shards as i16);
        transaction
            .execute(sql, &[&family.name(), &shards])
            .await
            .map_err(|error| failure(&error))?;
    }
    Ok(())
}
