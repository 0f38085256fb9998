//! What readers of the log could not take in. No read model: a reader writes here itself, in the transaction that moves its cursor past the record.

use super::{Columns, number, text};
use crate::{
    address::{Family, Position, Shard, ShardNumber},
    port::{LogStore, ModelStore, Row, Statement, StoreError, StoredRecord},
};

pub(super) const PARK: &str = "INSERT INTO parked (name, family, shard, position, entity, reason, program) VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (name, family, shard, position) DO UPDATE SET reason = excluded.reason, program = excluded.program";

pub(super) const RELEASE: &str =
    "DELETE FROM parked WHERE name = $1 AND family = $2 AND shard = $3 AND position = $4";

/// No program is called so: whichever comes first tries again.
pub(super) const AGAIN: &str = "UPDATE parked SET program = '' WHERE name = $1 AND family = $2 AND shard = $3 AND position = $4";

pub(super) const ONE: &str = "SELECT name, family, shard, position, entity, reason, program FROM parked \
     WHERE name = $1 AND family = $2 AND shard = $3 AND position = $4";

pub(super) const ALL: &str = "SELECT name, family, shard, position, entity, reason, program FROM parked \
     ORDER BY name, family, shard, position LIMIT $1";

pub(super) const AFTER: &str = "SELECT name, family, shard, position, entity, reason, program FROM parked \
     WHERE (name, family, shard, position) > ($1, $2, $3, $4) ORDER BY name, family, shard, position LIMIT $5";

pub(super) const OF: &str = "SELECT name, family, shard, position, entity, reason, program FROM parked \
     WHERE name = $1 ORDER BY family, shard, position LIMIT $2";

/// Forgets how far a reader has come.
pub(crate) const CURSORS_DROP: &str = "DELETE FROM cursor WHERE name = $1";

pub(super) const COUNT: &str = "SELECT count(*) FROM parked";

/// A reason takes no more room than this.
const REASON_BYTES_MAX: usize = 1_000;

/// A record that a reader could not take in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// The reader, by the name of its cursors.
    pub name: String,
    /// The record's shard …
    pub shard: Shard,
    /// … and position.
    pub position: Position,
    /// Whose record.
    pub entity: String,
    /// Why.
    pub reason: String,
    /// The version of the program that tried. Another one tries again.
    pub program: String,
}

impl Parked {
    /// Parks a record for a reader.
    pub fn new(
        name: &str,
        record: &StoredRecord,
        program: &str,
        why: &dyn std::fmt::Display,
    ) -> Self {
        let mut reason = why.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        // A text without this character is one that both engines store.
        let reason = reason.replace('\0', " ");
        Self {
            name: name.to_owned(),
            shard: record.shard,
            position: record.position,
            entity: record.entity.to_string(),
            reason,
            program: program.to_owned(),
        }
    }

    /// The statement that stores it.
    pub fn park(&self) -> Statement {
        let mut statement = self.release();
        statement.sql = PARK;
        statement.values.extend([
            text(&*self.entity),
            text(&*self.reason),
            text(&*self.program),
        ]);
        statement
    }

    /// The statement that forgets it.
    pub fn release(&self) -> Statement {
        Statement {
            sql: RELEASE,
            values: vec![
                text(&*self.name),
                text(self.shard.family.name()),
                number(self.shard.number.into()),
                number(self.position),
            ],
        }
    }

    /// Something parked, by its place alone.
    pub fn at(name: &str, shard: Shard, position: Position) -> Self {
        Self {
            name: name.to_owned(),
            shard,
            position,
            entity: String::new(),
            reason: String::new(),
            program: String::new(),
        }
    }

    /// The statement by which it is tried again: by a follower soon, by a read model when it is opened the next time, since the order of records matters
    /// to it.
    pub fn again(&self) -> Statement {
        let mut statement = self.release();
        statement.sql = AGAIN;
        statement
    }

    /// The record itself, as the log has it now.
    pub async fn record(&self, store: &dyn LogStore) -> Result<Option<StoredRecord>, StoreError> {
        let after = self.position.saturating_sub(1);
        Ok(store.read_shard(self.shard, after, 1).await?.pop())
    }
}

fn read(row: Row) -> Result<Parked, StoreError> {
    let mut columns = Columns::of(row);
    let name = columns.text()?;
    let family = columns.text()?;
    let family = Family::ALL
        .into_iter()
        .find(|one| one.name() == family)
        .ok_or_else(|| StoreError::Damaged("a parked record is of no known family".into()))?;
    Ok(Parked {
        name,
        shard: Shard {
            family,
            number: columns.number()? as ShardNumber,
        },
        position: columns.number()?,
        entity: columns.text()?,
        reason: columns.text()?,
        program: columns.text()?,
    })
}

async fn ask(store: &dyn ModelStore, statement: Statement) -> Result<Vec<Parked>, StoreError> {
    let rows = store.query(statement).await?;
    rows.into_iter().map(read).collect()
}

/// What all readers have parked, at most `limit`.
pub async fn all(store: &dyn ModelStore, limit: usize) -> Result<Vec<Parked>, StoreError> {
    let values = vec![number(limit as u64)];
    ask(store, Statement { sql: ALL, values }).await
}

/// What all readers have parked, in the order of [`all`], after a record; at most `limit`.
pub async fn after(
    store: &dyn ModelStore,
    last: &Parked,
    limit: usize,
) -> Result<Vec<Parked>, StoreError> {
    let mut statement = last.release();
    statement.sql = AFTER;
    statement.values.push(number(limit as u64));
    ask(store, statement).await
}

/// Something parked, by its place; `None` when nothing is parked there.
pub async fn one(store: &dyn ModelStore, place: &Parked) -> Result<Option<Parked>, StoreError> {
    let mut statement = place.release();
    statement.sql = ONE;
    Ok(ask(store, statement).await?.pop())
}

/// What a reader has parked, at most `limit`.
pub async fn of(
    store: &dyn ModelStore,
    name: &str,
    limit: usize,
) -> Result<Vec<Parked>, StoreError> {
    let values = vec![text(name), number(limit as u64)];
    ask(store, Statement { sql: OF, values }).await
}

/// The statement that forgets how far a reader was.
pub fn forget_cursors(name: &str) -> Statement {
    Statement {
        sql: CURSORS_DROP,
        values: vec![text(name)],
    }
}

/// How many records are parked.
pub async fn count(store: &dyn ModelStore) -> Result<u64, StoreError> {
    let statement = Statement {
        sql: COUNT,
        values: Vec::new(),
    };
    let row = store.query(statement).await?.pop();
    row.map_or(Ok(0), |row| Columns::of(row).number())
}
