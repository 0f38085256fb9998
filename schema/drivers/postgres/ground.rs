//! Makes and updates the tables.

use tokio_postgres::{Client, GenericClient, Transaction};

use super::{
    connection::{Connection, failure},
    dsn::Address,
    several::Seat,
};
use crate::{
    address::{Family, Layout, ShardNumber},
    chain::GENESIS,
    ground::{self, Dialect, META, STEPS, Scope, Step, meta},
    port::StoreError,
};

/// Nodes that start at the same time take turns: the number is arbitrary, but the same for all.
pub(super) const TURN: i64 = 0x0070_6c61_7968_6f75;

/// What a database is fixed to when it is made, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) layout: Layout,
    /// Which database of the house it is.
    pub(super) seat: Seat,
    /// All databases of the house were made; only the first says so.
    pub(super) is_whole: bool,
    /// A migration fills the database and has not brought everything.
    pub(super) is_unfinished: bool,
}

/// What a database says about itself.
struct Found {
    version: i64,
    facts: Facts,
}

/// Brings the database up to date and tells what it is. A new one becomes what is wanted.
pub(super) async fn prepare(address: &Address, wanted: Facts) -> Result<Facts, StoreError> {
    let mut client = Connection::open_patiently(address).await?.client;
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

/// Refuses a database in which [`prepare`] would have something to do.
pub(super) async fn must_be_prepared(address: &Address) -> Result<(), StoreError> {
    let connection = Connection::open_patiently(address).await?;
    let why = match read_meta(&connection.client).await? {
        Some(found) if found.version == ground::VERSION => return Ok(()),
        Some(_) => "is of another version of this program: start the server with this one first",
        None => "is not Playhouse's: is the address the right one?",
    };
    Err(StoreError::Incompatible(format!("the database {why}")))
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
    let era = u32::try_from(find(meta::ERA).unwrap_or(0)).map_err(|_| foreign())?;
    if shards == 0 || shards > Layout::SHARDS_MAX {
        return Err(foreign());
    }
    let counted = |name: &str, otherwise: i64| {
        usize::try_from(find(name).unwrap_or(otherwise)).map_err(|_| foreign())
    };
    let seat = Seat {
        databases: counted(meta::DATABASES, 1)?,
        index: counted(meta::DATABASE_INDEX, 0)?,
        house: find(meta::HOUSE).unwrap_or_default(),
    };
    if seat.index >= seat.databases {
        return Err(foreign());
    }
    Ok(Some(Found {
        version,
        facts: Facts {
            layout: Layout { shards, era },
            seat,
            is_whole: find(meta::WHOLE).is_none_or(|value| value != 0),
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
    let Facts { layout, seat, .. } = found.map_or(wanted, |found| found.facts);
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
        Scope::Log => fill_heads(&transaction, layout, seat).await?,
        Scope::Register if seat.index == 0 => fill_placement(&transaction, layout).await?,
        Scope::Snapshots | Scope::Models | Scope::Register => {}
    }
    let oldest = match seat.databases {
        1 => ground::OLDEST,
        _ => ground::OLDEST_OF_SEVERAL,
    };
    let values = [
        (meta::VERSION, step.number),
        (meta::OLDEST, oldest),
        (meta::SHARDS, i64::from(layout.shards)),
    ];
    for value in values {
        set_meta(&transaction, value).await?;
    }
    if is_new {
        be_born(&transaction, wanted).await?;
    }
    transaction.commit().await.map_err(|error| failure(&error))
}

/// A new database says what it is from the first step on.
async fn be_born(transaction: &Transaction<'_>, wanted: Facts) -> Result<(), StoreError> {
    let seat = wanted.seat;
    let values = [
        (meta::DATABASES, seat.databases as i64),
        (meta::DATABASE_INDEX, seat.index as i64),
        (meta::HOUSE, seat.house),
        (meta::WHOLE, i64::from(wanted.is_whole)),
    ];
    for value in values {
        set_meta(transaction, value).await?;
    }
    if wanted.layout.era > 0 {
        set_meta(transaction, (meta::ERA, i64::from(wanted.layout.era))).await?;
    }
    if wanted.is_unfinished {
        set_meta(transaction, (meta::UNFINISHED, 1)).await?;
    }
    Ok(())
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

/// Only the shards that lie here have a row: what is written to the wrong database finds none and is refused.
async fn fill_heads(
    transaction: &Transaction<'_>,
    layout: Layout,
    seat: Seat,
) -> Result<(), StoreError> {
    for family in Family::ALL {
        let sql = format!(
            "INSERT INTO shard_{family} (shard, owner, epoch, head, chain, batch) \
             SELECT shard, '', 0, 0, $1, $2 FROM generate_series($3::integer, $4::integer - 1, $5::integer) AS shard \
             ON CONFLICT (shard) DO NOTHING"
        );
        let shards = i32::from(layout.shards as i16);
        let (first, step) = (seat.index as i32, seat.databases as i32);
        transaction
            .execute(
                &sql,
                &[&&GENESIS[..], &&[0_u8; 16][..], &first, &shards, &step],
            )
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
