//! Read models: folds of the log that answer what no single actor can.
//!
//! A model is a table, a pure fold from records to statements, and queries. It has no migrations: a new shape is a new version under a new table name, filled from
//! the log beside the old one. Rules of shared SQL:
//!
//! - one text for both engines; words that differ stand in double braces: `{{text}}` (a text that sorts by its bytes), `{{bytes}}`;
//! - placeholders `$1`, `$2`, … first appear in that order, since SQLite binds by appearance;
//! - BIGINT, text, bytes, `ON CONFLICT`, `RETURNING`, `WITH`; truth values are 0 and 1;
//! - statements of a fold may be repeated after a crash only from a cursor, in one transaction with it: they need not be idempotent.

pub mod aliases;
pub mod audit;
pub mod destinations;
pub mod device_lists;
pub mod device_sightings;
pub mod media;
pub mod media_lists;
pub mod media_statistics;
pub mod membership_acts;
pub mod memberships;
pub mod message_search;
pub mod parked;
pub mod partial_rooms;
pub mod positions;
pub mod public_rooms;
pub mod pushers;
pub mod relations;
pub mod reports;
pub mod retention;
pub mod room_facts;
pub mod rooms;
pub mod server_rooms;
pub mod threepids;
pub mod to_device_out;
pub mod uploads;
pub mod user_names;
pub mod users;
pub mod validity;

use crate::{
    address::Family,
    port::{ModelStore, Row, Statement, StoreError, StoredRecord, Value},
};

/// A read model.
pub trait Model: Send + Sync + 'static {
    /// The question it answers.
    const NAME: &'static str;
    /// Its table, which carries the version; also the name of its cursors.
    const TABLE: &'static str;
    /// Raised whenever the table or the fold changes.
    const VERSION: u32;
    /// Further tables, whose names begin with that of the first one; dropped with it.
    const FURTHER: &'static [&'static str] = &[];
    /// Records may wait so long to be folded together, as long as nobody asks: for models whose every write is dear.
    const PATIENCE_MS: u64 = 0;

    /// The families whose records it reads.
    fn families(&self) -> &[Family];

    /// Statements that create the table, safe to repeat.
    fn tables(&self) -> &[&'static str];

    /// What a record changes. Pure: reads no table.
    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError>;
}

/// A model of whichever type, for lists of them.
pub trait AnyModel: Send + Sync + 'static {
    /// See [`Model::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Model::TABLE`].
    fn table(&self) -> &'static str;
    /// See [`Model::FURTHER`].
    fn further(&self) -> &'static [&'static str];
    /// See [`Model::PATIENCE_MS`].
    fn patience_ms(&self) -> u64;
    /// See [`Model::families`].
    fn reads(&self) -> &[Family];
    /// See [`Model::tables`].
    fn creation(&self) -> &[&'static str];
    /// See [`Model::fold`].
    fn changes(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError>;
}

impl<M: Model> AnyModel for M {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn table(&self) -> &'static str {
        M::TABLE
    }

    fn further(&self) -> &'static [&'static str] {
        M::FURTHER
    }

    fn patience_ms(&self) -> u64 {
        M::PATIENCE_MS
    }

    fn reads(&self) -> &[Family] {
        self.families()
    }

    fn creation(&self) -> &[&'static str] {
        self.tables()
    }

    fn changes(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        self.fold(record)
    }
}

/// All models.
pub fn all() -> Vec<Box<dyn AnyModel>> {
    vec![
        Box::new(memberships::Memberships),
        Box::new(users::Users),
        Box::new(device_lists::DeviceLists),
        Box::new(device_sightings::DeviceSightings),
        Box::new(aliases::Aliases),
        Box::new(public_rooms::PublicRooms),
        Box::new(relations::Relations),
        Box::new(pushers::Pushers),
        Box::new(room_facts::RoomFacts),
        Box::new(user_names::UserNames),
        Box::new(reports::Reports),
        Box::new(audit::Audit),
        Box::new(message_search::MessageSearch),
        Box::new(uploads::Uploads),
        Box::new(media::Media),
        Box::new(retention::Retention),
        Box::new(threepids::Threepids),
        Box::new(validity::Validity),
        Box::new(destinations::Destinations),
        Box::new(server_rooms::ServerRooms),
        Box::new(to_device_out::ToDeviceOut),
        Box::new(partial_rooms::PartialRooms),
        Box::new(rooms::Rooms),
        Box::new(membership_acts::MembershipActs),
    ]
}

/// PostgreSQL knows no text with NUL in it, and would refuse a record, or a question, because of what somebody has said.
fn text(value: impl Into<String>) -> Value {
    let mut value: String = value.into();
    if value.contains('\0') {
        value.retain(|character| character != '\0');
    }
    Value::Text(value)
}

fn truth(value: bool) -> Value {
    Value::Integer(value.into())
}

/// Takes out what is known of a room that was deleted; its ID is all that the statement needs.
fn of_gone(sql: &'static str, record: &StoredRecord) -> Statement {
    Statement {
        sql,
        values: vec![text(record.entity.name())],
    }
}

/// Texts in so many places; the last one is repeated where there are fewer.
fn padded(texts: &[&str], places: usize) -> Vec<Value> {
    let last = texts.last().copied().unwrap_or_default();
    let rest = std::iter::repeat(&last);
    texts
        .iter()
        .chain(rest)
        .take(places)
        .map(|name| text(*name))
        .collect()
}

fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Asks, and reads each row of the answer.
async fn rows<T>(
    store: &dyn ModelStore,
    (sql, values): (&'static str, Vec<Value>),
    read: impl Fn(&mut Columns) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = store.query(Statement { sql, values }).await?;
    rows.into_iter()
        .map(|row| read(&mut Columns::of(row)))
        .collect()
}

/// Asks, and reads the first row of the answer, if there is one.
async fn first<T>(
    store: &dyn ModelStore,
    question: (&'static str, Vec<Value>),
    read: impl Fn(&mut Columns) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    Ok(rows(store, question, read).await?.into_iter().next())
}

/// Takes a row apart, column by column.
struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    fn text(&mut self) -> Result<String, StoreError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unexpected("text", other.as_ref())),
        }
    }

    fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            other => Err(unexpected("text or nothing", other.as_ref())),
        }
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        match self.0.next() {
            Some(Value::Integer(number)) if number >= 0 => Ok(number as u64),
            other => Err(unexpected("a number", other.as_ref())),
        }
    }

    fn optional_number(&mut self) -> Result<Option<u64>, StoreError> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Integer(number)) if number >= 0 => Ok(Some(number as u64)),
            other => Err(unexpected("a number or nothing", other.as_ref())),
        }
    }

    fn truth(&mut self) -> Result<bool, StoreError> {
        Ok(self.number()? != 0)
    }
}

fn unexpected(wanted: &str, found: Option<&Value>) -> StoreError {
    let found = match found {
        None => "no column",
        Some(Value::Null) => "nothing",
        Some(Value::Integer(_)) => "a number",
        Some(Value::Text(_)) => "text",
        Some(Value::Bytes(_)) => "bytes",
    };
    StoreError::Damaged(format!("a read model holds {found} instead of {wanted}"))
}

#[cfg(test)]
mod tests;
