//! The read models' file.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use rusqlite::{
    Connection, TransactionBehavior, params_from_iter,
    types::{ToSql, ToSqlOutput, ValueRef},
};

use super::{
    super::{
        plan::bound,
        texts::{CURSOR_BEGIN, CURSOR_MOVE, CURSOR_SET, CURSORS, CURSORS_DROP, PARKED_DROP},
    },
    files::{Writer, empty_wal, failure, write_anew},
    read::{collect, number},
    readers::Readers,
    run,
};
use crate::{
    address::{Family, Position, ShardNumber},
    ground::Dialect,
    port::{CursorAdvance, ModelStore, Row, Statement, StoreError, StoreFuture, Value},
};

/// So many statements do not block the caller's thread.
const LONG_WRITE: usize = 32;

/// The read models' file: one connection that writes, a few that read.
pub(super) struct SqliteModels {
    file: Arc<ModelsFile>,
}

struct ModelsFile {
    writer: Writer,
    readers: Readers,
}

impl SqliteModels {
    pub(super) fn new(path: &Path, connection: Connection) -> Result<Self, StoreError> {
        Ok(Self {
            file: Arc::new(ModelsFile {
                writer: Writer::new(connection)?,
                readers: Readers::new(path.to_owned()),
            }),
        })
    }

    /// See [`files::write_anew`](super::files::write_anew).
    pub(super) fn write_anew(&self) -> Result<(), StoreError> {
        write_anew(&self.file.writer.lock())
    }

    /// Everything that was committed survives a power cut from now on.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        empty_wal(&self.file.writer.lock())
    }
}

impl ModelsFile {
    /// All of it or nothing, and nothing where a cursor does not stand where it must.
    fn apply(&self, statements: &[Statement], cursors: &[CursorAdvance]) -> Result<(), StoreError> {
        let mut overtaken = None;
        let written = self.write(|connection| {
            // First of all: what another reader has read must not be judged.
            for cursor in cursors {
                if !move_cursor(connection, cursor)? {
                    overtaken = Some(cursor.name);
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                }
            }
            for statement in statements {
                connection
                    .prepare_cached(statement.sql)?
                    .execute(params_from_iter(statement.values.iter().map(Bound)))?;
            }
            Ok(())
        });
        overtaken.map_or(written, |name| Err(StoreError::Overtaken(name)))
    }

    fn write(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut connection = self.writer.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failure)?;
        work(&transaction).map_err(failure)?;
        transaction.commit().map_err(failure)
    }
}

/// Values go in by order: shared text numbers them in the order of their first appearance, and so does SQLite.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read_value(value: ValueRef<'_>) -> Result<Value, StoreError> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Integer(number)),
        ValueRef::Text(text) => String::from_utf8(text.to_vec())
            .map(Value::Text)
            .map_err(|_| StoreError::Damaged("a text of a read model is not UTF-8".into())),
        ValueRef::Blob(bytes) => Ok(Value::Bytes(Bytes::copy_from_slice(bytes))),
        ValueRef::Real(_) => Err(StoreError::Database(
            "shared SQL has no fractional numbers".into(),
        )),
    }
}

fn query(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, StoreError> {
    let mut prepared = connection.prepare_cached(statement.sql).map_err(failure)?;
    let columns = prepared.column_count();
    let mut rows = prepared
        .query(params_from_iter(statement.values.iter().map(Bound)))
        .map_err(failure)?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let read = |index| read_value(row.get_ref(index).map_err(failure)?);
        answer.push((0..columns).map(read).collect::<Result<Row, _>>()?);
    }
    Ok(answer)
}

/// Whether the cursor stood where it must.
fn move_cursor(connection: &Connection, cursor: &CursorAdvance) -> rusqlite::Result<bool> {
    let (name, family) = (cursor.name, cursor.shard.family.name());
    let (shard, position) = (cursor.shard.number, bound(cursor.position));
    match cursor.from {
        None => {
            let mut set = connection.prepare_cached(CURSOR_SET)?;
            set.execute((name, family, shard, position))?;
            Ok(true)
        }
        Some(0) => {
            let mut begin = connection.prepare_cached(CURSOR_BEGIN)?;
            begin.exists((name, family, shard, position))
        }
        Some(from) => {
            let mut step = connection.prepare_cached(CURSOR_MOVE)?;
            step.exists((position, name, family, shard, bound(from)))
        }
    }
}

impl ModelStore for SqliteModels {
    fn create<'a>(&'a self, statements: &'a [&'static str]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.file.write(|connection| {
                statements.iter().try_for_each(|statement| {
                    connection.execute_batch(&Dialect::Sqlite.fill(statement))
                })
            })
        })
    }

    fn apply<'a>(
        &'a self,
        statements: Vec<Statement>,
        cursors: Vec<CursorAdvance>,
    ) -> StoreFuture<'a, ()> {
        let long = statements.len() >= LONG_WRITE || self.file.writer.is_busy();
        Box::pin(run(Arc::clone(&self.file), long, move |file| {
            file.apply(&statements, &cursors)
        }))
    }

    fn query<'a>(&'a self, statement: Statement) -> StoreFuture<'a, Vec<Row>> {
        Box::pin(async move {
            self.file
                .readers
                .with(|connection| query(connection, &statement))
        })
    }

    fn cursors<'a>(
        &'a self,
        name: &'a str,
        family: Family,
    ) -> StoreFuture<'a, Vec<(ShardNumber, Position)>> {
        Box::pin(async move {
            self.file.readers.with(|connection| {
                collect(connection, CURSORS, (name, family.name()), |row| {
                    Ok((row.get(0).map_err(failure)?, number(row, 1)?))
                })
            })
        })
    }

    fn drop_model<'a>(
        &'a self,
        table: &'static str,
        further: &'static [&'static str],
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.file.write(|connection| {
                for table in further.iter().chain([&table]) {
                    connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
                }
                connection.execute(PARKED_DROP, [table])?;
                connection.execute(CURSORS_DROP, [table])?;
                Ok(())
            })
        })
    }
}
