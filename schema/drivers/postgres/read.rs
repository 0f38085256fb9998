//! Rows to records, and the queries that only PostgreSQL can say.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::{
    super::{
        plan::StoredHead,
        texts::{RECORD, key_prefix, texts},
    },
    connection::Pool,
};
use crate::{
    address::{Entity, Family, Place, Shard, ShardNumber},
    chain::Digest,
    port::{ChainedRecord, EntityHead, Head, KindSize, Snapshot, StoreError, StoredRecord},
    record::Kind,
};

static SOME: LazyLock<[String; 3]> = LazyLock::new(|| {
    Family::ALL.map(|family| {
        format!(
            "SELECT {RECORD} FROM log_{family} AS l JOIN entity_{family} AS e ON e.id = l.entity \
             WHERE e.name = $1 AND l.sequence = ANY($2::bigint[]) ORDER BY l.sequence"
        )
    })
});

static ENTITY_HEADS: LazyLock<[String; 3]> = LazyLock::new(|| {
    Family::ALL.map(|family| {
        format!(
            "SELECT asked.nth, head.place, head.sequence FROM unnest($1::text[]) WITH ORDINALITY AS asked(entity, nth) \
             JOIN entity_{family} AS e ON e.name = asked.entity \
             CROSS JOIN LATERAL (SELECT place, sequence FROM log_{family} WHERE entity = e.id ORDER BY sequence DESC LIMIT 1) AS head"
        )
    })
});

static FIND_SOME: LazyLock<[String; 3]> = LazyLock::new(|| {
    Family::ALL.map(|family| {
        let find = &texts(family).find;
        let find = find.replace("$1", "asked.prefix").replace("$2", "asked.key");
        format!(
            "SELECT found.* FROM unnest($1::text[], $2::text[]) AS asked(prefix, key) CROSS JOIN LATERAL ({find}) AS found"
        )
    })
});

fn of(texts: &'static [String; 3], family: Family) -> &'static str {
    match family {
        Family::Rooms => &texts[0],
        Family::Users => &texts[1],
        Family::Servers => &texts[2],
    }
}

/// Some records of an entity by number.
pub(super) fn some_text(family: Family) -> &'static str {
    of(&SOME, family)
}

/// The newest record of each entity of a list.
pub(super) fn entity_heads_text(family: Family) -> &'static str {
    of(&ENTITY_HEADS, family)
}

/// The newest records that carry some keys.
pub(super) async fn find_some(
    pool: &Pool,
    family: Family,
    keys: Vec<String>,
) -> Result<Vec<StoredRecord>, StoreError> {
    let prefixes: Vec<_> = keys.iter().map(|key| key_prefix(key)).collect();
    let sql = of(&FIND_SOME, family);
    let rows = pool.query(sql, &[&prefixes, &keys]).await?;
    Ok(newest_of_each(records(&rows, family)?))
}

/// Of the records that carry the same key the one with the highest position.
pub(super) fn newest_of_each(records: impl IntoIterator<Item = StoredRecord>) -> Vec<StoredRecord> {
    let mut newest = BTreeMap::<_, StoredRecord>::new();
    for record in records {
        match newest.entry(record.key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(record);
            }
            Entry::Occupied(mut entry) if entry.get().position < record.position => {
                entry.insert(record);
            }
            Entry::Occupied(_) => {}
        }
    }
    newest.into_values().collect()
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index)
        .map_err(|error| StoreError::Damaged(error.to_string()))
}

/// A column that never holds a negative number.
pub(super) fn number(row: &Row, index: usize) -> Result<u64, StoreError> {
    u64::try_from(column::<i64>(row, index)?)
        .map_err(|_| StoreError::Damaged("a number is negative".into()))
}

fn blob(row: &Row, index: usize) -> Result<Bytes, StoreError> {
    Ok(Bytes::copy_from_slice(column(row, index)?))
}

fn digest(row: &Row, index: usize) -> Result<Digest, StoreError> {
    fixed(column(row, index)?)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreError> {
    bytes.try_into().map_err(|_| {
        StoreError::Damaged(format!("a value has {} bytes instead of {N}", bytes.len()))
    })
}

fn record(
    row: &Row,
    family: Family,
    newest: &mut Option<Entity>,
) -> Result<StoredRecord, StoreError> {
    let place = Place::from_column(column(row, 0)?);
    let name: &str = column(row, 1)?;
    let damaged = |what: &str| {
        StoreError::Damaged(format!(
            "{family}/{} position {}: {what}",
            place.shard(),
            place.position()
        ))
    };
    let entity = match newest {
        Some(newest) if newest.as_str() == name => newest.clone(),
        _ => Entity::parse(name).ok_or_else(|| damaged("its entity is of no known sort"))?,
    };
    *newest = Some(entity.clone());
    Ok(StoredRecord {
        shard: Shard {
            family,
            number: place.shard(),
        },
        position: place.position(),
        entity,
        sequence: number(row, 2)?,
        kind: Kind::try_from(number(row, 3)?)
            .map_err(|_| damaged("its kind is no known number"))?,
        epoch: number(row, 4)?,
        at_ms: number(row, 5)?,
        key: column::<Option<&str>>(row, 6)?.map(Arc::from),
        payload: blob(row, 7)?,
    })
}

/// Rows as records.
pub(super) fn records(rows: &[Row], family: Family) -> Result<Vec<StoredRecord>, StoreError> {
    let mut newest = None;
    rows.iter()
        .map(|row| record(row, family, &mut newest))
        .collect()
}

/// Rows as records with what the chain check needs.
pub(super) fn chained(rows: &[Row], family: Family) -> Result<Vec<ChainedRecord>, StoreError> {
    let mut newest = None;
    rows.iter()
        .map(|row| {
            Ok(ChainedRecord {
                record: record(row, family, &mut newest)?,
                erased: column::<Option<&[u8]>>(row, 8)?.map(fixed).transpose()?,
                chain: digest(row, 9)?,
            })
        })
        .collect()
}

/// A row as a head.
pub(super) fn head(row: &Row, family: Family) -> Result<StoredHead, StoreError> {
    let shard = ShardNumber::try_from(number(row, 0)?)
        .map_err(|_| StoreError::Damaged("a shard number is too large".into()))?;
    Ok(StoredHead {
        head: Head {
            shard: Shard {
                family,
                number: shard,
            },
            epoch: number(row, 1)?,
            position: number(row, 2)?,
            chain: digest(row, 3)?,
        },
        batch: Uuid::from_bytes(fixed(column(row, 4)?)?),
    })
}

/// A row as the newest record of an entity, with the entity's index in the question.
pub(super) fn entity_head(row: &Row, family: Family) -> Result<(usize, EntityHead), StoreError> {
    let place = Place::from_column(column(row, 1)?);
    let head = EntityHead {
        shard: Shard {
            family,
            number: place.shard(),
        },
        position: place.position(),
        sequence: number(row, 2)?,
    };
    // SQL counts from one.
    Ok(((number(row, 0)? as usize).saturating_sub(1), head))
}

/// A row as a snapshot.
pub(super) fn snapshot(row: &Row) -> Result<Snapshot, StoreError> {
    snapshot_from(row, 0)
}

/// A row as a snapshot with its entity before it.
pub(super) fn snapshot_of(row: &Row) -> Result<(Entity, Snapshot), StoreError> {
    let entity = Entity::parse(column(row, 0)?)
        .ok_or_else(|| StoreError::Damaged("a snapshot is of an entity of no known sort".into()))?;
    Ok((entity, snapshot_from(row, 1)?))
}

fn snapshot_from(row: &Row, first: usize) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        sequence: number(row, first)?,
        version: u32::try_from(number(row, first + 1)?)
            .map_err(|_| StoreError::Damaged("a snapshot's version is too large".into()))?,
        payload: blob(row, first + 2)?,
    })
}

/// A row as what the records of a kind take.
pub(super) fn kind_size(row: &Row) -> Result<KindSize, StoreError> {
    let (kind, records) = kind_count(row)?;
    Ok(KindSize {
        kind,
        records,
        bytes: number(row, 2)?,
    })
}

/// A row as a kind and how many records are of it.
pub(super) fn kind_count(row: &Row) -> Result<(Kind, u64), StoreError> {
    let kind = Kind::try_from(number(row, 0)?)
        .map_err(|_| StoreError::Damaged("a kind is no known number".into()))?;
    Ok((kind, number(row, 1)?))
}
