//! The read models' tables, in the same database.

use std::{error::Error as StdError, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use tokio_postgres::{
    Client,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{
    super::{
        plan::bound,
        texts::{CURSOR_BEGIN, CURSOR_MOVE, CURSOR_SET, CURSORS, CURSORS_DROP, PARKED_DROP},
    },
    connection::{Connection, Pool, failure},
    ground::TURN,
    read,
};
use crate::{
    address::{Family, Position, ShardNumber},
    ground::Dialect,
    port::{CursorAdvance, ModelStore, Row, Statement, StoreError, StoreFuture, Value},
};

/// So many statements are under way at once: a fold of many records would otherwise wait for the network most of the time. They are sent in order, and the
/// server runs them in order; of more than these `try_join_all` would not promise it.
const UNDER_WAY: usize = 30;

/// The read models' tables.
pub(super) struct PostgresModels {
    pool: Arc<Pool>,
}

impl PostgresModels {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// Runs a text of several statements in one transaction. Tables and indexes take their time to make, and whoever else makes some is waited for.
    async fn batch(&self, text: &str) -> Result<(), StoreError> {
        let lent = self.pool.lend().await?;
        let text = format!("SET LOCAL statement_timeout = 0;\n{text}");
        let done = lent.connection.client.batch_execute(&text).await;
        lent.give_back();
        done.map_err(|error| failure(&error))
    }
}

/// A value, in whichever type the server wants it.
#[derive(Debug)]
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(number) => match *wanted {
                Type::INT8 => number.to_sql(wanted, out),
                Type::INT4 => i32::try_from(*number)?.to_sql(wanted, out),
                Type::INT2 => i16::try_from(*number)?.to_sql(wanted, out),
                _ => Err(format!("a number where {wanted} is wanted").into()),
            },
            Value::Text(text) if <&str as ToSql>::accepts(wanted) => text.to_sql(wanted, out),
            Value::Text(_) => Err(format!("a text where {wanted} is wanted").into()),
            Value::Bytes(bytes) if *wanted == Type::BYTEA => (&bytes[..]).to_sql(wanted, out),
            Value::Bytes(_) => Err(format!("bytes where {wanted} is wanted").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn read_value(row: &tokio_postgres::Row, index: usize) -> Result<Value, StoreError> {
    let damaged = |error: tokio_postgres::Error| StoreError::Damaged(error.to_string());
    let wanted = row.columns()[index].type_();
    let value = match *wanted {
        Type::INT8 => row
            .try_get::<_, Option<i64>>(index)
            .map(|value| value.map(Value::Integer)),
        Type::INT4 => row
            .try_get::<_, Option<i32>>(index)
            .map(|value| value.map(|number| Value::Integer(number.into()))),
        Type::BOOL => row
            .try_get::<_, Option<bool>>(index)
            .map(|value| value.map(|truth| Value::Integer(truth.into()))),
        Type::BYTEA => row
            .try_get::<_, Option<&[u8]>>(index)
            .map(|value| value.map(|bytes| Value::Bytes(Bytes::copy_from_slice(bytes)))),
        _ => row
            .try_get::<_, Option<String>>(index)
            .map(|value| value.map(Value::Text)),
    };
    Ok(value.map_err(damaged)?.unwrap_or(Value::Null))
}

async fn send(
    client: &Client,
    statement: &Statement,
    prepared: &tokio_postgres::Statement,
) -> Result<(), tokio_postgres::Error> {
    let values: Vec<Bound<'_>> = statement.values.iter().map(Bound).collect();
    let values: Vec<_> = values
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect();
    client.query(prepared, &values).await?;
    Ok(())
}

/// Whether the cursor stood where it must. Where another reader is about to move it, it is waited for.
async fn move_cursor(
    connection: &mut Connection,
    cursor: &CursorAdvance,
) -> Result<bool, tokio_postgres::Error> {
    let (name, family) = (cursor.name, cursor.shard.family.name());
    let (shard, position) = (i64::from(cursor.shard.number), bound(cursor.position));
    let moved = match cursor.from {
        None => {
            let values: [&(dyn ToSql + Sync); 4] = [&name, &family, &shard, &position];
            connection.query(CURSOR_SET, &values).await?;
            return Ok(true);
        }
        Some(0) => {
            let values: [&(dyn ToSql + Sync); 4] = [&name, &family, &shard, &position];
            connection.query(CURSOR_BEGIN, &values).await?
        }
        Some(from) => {
            let from = bound(from);
            let values: [&(dyn ToSql + Sync); 5] = [&position, &name, &family, &shard, &from];
            connection.query(CURSOR_MOVE, &values).await?
        }
    };
    Ok(!moved.is_empty())
}

/// Moves cursors and runs statements; the caller has begun the transaction and ends it.
async fn work(
    pool: &Pool,
    connection: &mut Connection,
    statements: &[Statement],
    cursors: &[CursorAdvance],
) -> Result<(), StoreError> {
    // First of all: what another reader has read must not be judged. In one order, so that two readers do not wait for each other.
    let mut ordered: Vec<_> = cursors.iter().collect();
    ordered.sort_by_key(|cursor| (cursor.name, cursor.shard));
    for cursor in ordered {
        if !pool.answered(1, move_cursor(connection, cursor)).await? {
            return Err(StoreError::Overtaken(cursor.name));
        }
    }
    run(pool, connection, statements).await
}

async fn run(
    pool: &Pool,
    connection: &mut Connection,
    statements: &[Statement],
) -> Result<(), StoreError> {
    for some in statements.chunks(UNDER_WAY) {
        let mut prepared = Vec::with_capacity(some.len());
        for statement in some {
            prepared.push(pool.answered(1, connection.prepare(statement.sql)).await?);
        }
        let mut sent = Vec::with_capacity(some.len());
        for (statement, prepared) in some.iter().zip(&prepared) {
            sent.push(send(&connection.client, statement, prepared));
        }
        pool.answered(some.len(), try_join_all(sent)).await?;
    }
    Ok(())
}

impl ModelStore for PostgresModels {
    fn create<'a>(&'a self, statements: &'a [&'static str]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // Two nodes that create the same at once would hinder each other, whatever the statements say.
            let turn = format!("SELECT pg_advisory_xact_lock({TURN});\n");
            let text = turn + &statements.join(";\n");
            self.batch(&Dialect::Postgres.fill(&text)).await
        })
    }

    fn apply<'a>(
        &'a self,
        statements: Vec<Statement>,
        cursors: Vec<CursorAdvance>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            // When this is cut short, the connection is dropped, and the server ends the transaction.
            let mut lent = self.pool.lend().await?;
            let connection = &mut lent.connection;
            let begun = connection.client.batch_execute("BEGIN");
            self.pool.answered(1, begun).await?;
            let done = work(&self.pool, connection, &statements, &cursors).await;
            let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
            let ended = connection.client.batch_execute(end);
            let ended = self.pool.answered(1, ended).await;
            if ended.is_ok() {
                lent.give_back();
            }
            done.and(ended)
        })
    }

    fn query<'a>(&'a self, statement: Statement) -> StoreFuture<'a, Vec<Row>> {
        Box::pin(async move {
            let values: Vec<Bound<'_>> = statement.values.iter().map(Bound).collect();
            let values: Vec<_> = values
                .iter()
                .map(|value| value as &(dyn ToSql + Sync))
                .collect();
            let rows = self.pool.query(statement.sql, &values).await?;
            rows.iter()
                .map(|row| (0..row.len()).map(|index| read_value(row, index)).collect())
                .collect()
        })
    }

    fn cursors<'a>(
        &'a self,
        name: &'a str,
        family: Family,
    ) -> StoreFuture<'a, Vec<(ShardNumber, Position)>> {
        Box::pin(async move {
            let rows = self.pool.query(CURSORS, &[&name, &family.name()]).await?;
            rows.iter()
                .map(|row| {
                    let shard = ShardNumber::try_from(read::number(row, 0)?)
                        .map_err(|_| StoreError::Damaged("a shard number is too large".into()))?;
                    Ok((shard, read::number(row, 1)?))
                })
                .collect()
        })
    }

    fn drop_model<'a>(
        &'a self,
        table: &'static str,
        further: &'static [&'static str],
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let tables = further.iter().copied().chain([table]);
            let drop = tables.map(|table| format!("DROP TABLE IF EXISTS {table};"));
            self.batch(&drop.collect::<String>()).await?;
            self.pool.query(PARKED_DROP, &[&table]).await?;
            self.pool.query(CURSORS_DROP, &[&table]).await?;
            Ok(())
        })
    }
}
