//! How far readers of the log have come, whichever they are. No read model: a reader writes here itself.
//!
//! The position of a fold is part of the fold. That of anybody else is not: what lies before it was done, or was none of its business.

use super::{AnyModel, Columns, number, rows, text};
use crate::{
    address::{Family, Position, Shard, ShardNumber},
    port::{ModelStore, Statement, StoreError},
};

pub(super) const ALL: &str =
    "SELECT name, family, shard, position FROM cursor ORDER BY name, family, shard";

/// Moves the position of a reader.
pub(crate) const SET: &str = "INSERT INTO cursor (name, family, shard, position) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (name, family, shard) DO UPDATE SET position = excluded.position";

/// How far a reader has come in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderPosition {
    /// The reader.
    pub name: String,
    /// The shard.
    pub shard: Shard,
    /// Everything up to this position is behind it.
    pub position: Position,
}

impl ReaderPosition {
    /// The statement that stores it.
    pub fn set(&self) -> Statement {
        Statement {
            sql: SET,
            values: vec![
                text(&*self.name),
                text(self.shard.family.name()),
                number(self.shard.number.into()),
                number(self.position),
            ],
        }
    }
}

/// The positions of all readers, in the order of their names.
pub async fn all(store: &dyn ModelStore) -> Result<Vec<ReaderPosition>, StoreError> {
    rows(store, (ALL, Vec::new()), |columns| {
        let name = columns.text()?;
        Ok(ReaderPosition {
            name,
            shard: shard(columns)?,
            position: columns.number()?,
        })
    })
    .await
}

/// Reads family and number.
pub(super) fn shard(columns: &mut Columns) -> Result<Shard, StoreError> {
    let family = columns.text()?;
    let family = Family::ALL
        .into_iter()
        .find(|one| one.name() == family)
        .ok_or_else(|| StoreError::Damaged("a reader is of no known family".into()))?;
    Ok(Shard {
        family,
        number: columns.number()? as ShardNumber,
    })
}

/// Whether a reader is a read model, of this program or of another version: their tables, and so their names, end in the version.
pub fn is_model(name: &str, models: &[Box<dyn AnyModel>]) -> bool {
    let is_versioned = name.rsplit_once('_').is_some_and(|(_, version)| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_versioned || models.iter().any(|model| model.table() == name)
}
