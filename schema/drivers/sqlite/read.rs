//! Queries of the log.

use bytes::Bytes;
use rusqlite::{Connection, Row, types::ValueRef};
use uuid::Uuid;

use super::{
    super::{
        plan::{StoredHead, bound, stretch},
        texts::{key_prefix, texts},
    },
    files::failure,
};
use crate::{
    address::{Entity, Family, Place, Position, Sequence, Shard, ShardNumber},
    chain::Digest,
    port::{
        ChainedRecord, EntityHead, EntityRange, Head, KindSize, Snapshot, StoreError, StoredRecord,
    },
    record::Kind,
};

/// Reads rows as records. Remembers the entity of the row before, so that a run of records shares one name.
struct Decoder {
    family: Family,
    newest: Option<Entity>,
}

impl Decoder {
    fn record(&mut self, row: &Row<'_>) -> Result<StoredRecord, StoreError> {
        let place = Place::from_column(row.get(0).map_err(failure)?);
        let shard = Shard {
            family: self.family,
            number: place.shard(),
        };
        let name = row.get_ref(1).map_err(failure)?;
        let name = name
            .as_str()
            .map_err(|_| damaged(shard, place, "its entity is not text"))?;
        let entity = match &self.newest {
            Some(newest) if newest.as_str() == name => newest.clone(),
            _ => Entity::parse(name)
                .ok_or_else(|| damaged(shard, place, "its entity is of no known sort"))?,
        };
        self.newest = Some(entity.clone());
        let kind = row.get::<_, Kind>(3);
        Ok(StoredRecord {
            shard,
            position: place.position(),
            entity,
            sequence: number(row, 2)?,
            kind: kind.map_err(|_| damaged(shard, place, "its kind is no known number"))?,
            epoch: number(row, 4)?,
            at_ms: number(row, 5)?,
            key: row.get(6).map_err(failure)?,
            payload: blob(row, 7)?,
        })
    }
}

fn damaged(shard: Shard, place: Place, what: &str) -> StoreError {
    StoreError::Damaged(format!("{shard} position {}: {what}", place.position()))
}

/// A column that never holds a negative number.
pub(super) fn number(row: &Row<'_>, index: usize) -> Result<u64, StoreError> {
    let stored: i64 = row.get(index).map_err(failure)?;
    u64::try_from(stored).map_err(|_| StoreError::Damaged("a number is negative".into()))
}

fn blob(row: &Row<'_>, index: usize) -> Result<Bytes, StoreError> {
    match row.get_ref(index).map_err(failure)? {
        ValueRef::Blob(bytes) => Ok(Bytes::copy_from_slice(bytes)),
        _ => Err(StoreError::Damaged("a payload is not bytes".into())),
    }
}

/// Runs a query and reads its rows.
pub(super) fn collect<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(failure)?;
    let mut rows = statement.query(values).map_err(failure)?;
    let mut answers = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        answers.push(read(row)?);
    }
    Ok(answers)
}

fn collect_records(
    connection: &Connection,
    family: Family,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<StoredRecord>, StoreError> {
    let mut decoder = Decoder {
        family,
        newest: None,
    };
    collect(connection, sql, values, |row| decoder.record(row))
}

/// The heads in a file.
pub(super) fn heads(
    connection: &Connection,
    family: Family,
) -> Result<Vec<StoredHead>, StoreError> {
    collect(connection, &texts(family).heads, (), |row| {
        let shard: ShardNumber = row.get(0).map_err(failure)?;
        Ok(StoredHead {
            head: Head {
                shard: Shard {
                    family,
                    number: shard,
                },
                epoch: number(row, 1)?,
                position: number(row, 2)?,
                chain: row.get::<_, Digest>(3).map_err(failure)?,
            },
            batch: Uuid::from_bytes(row.get::<_, [u8; 16]>(4).map_err(failure)?),
        })
    })
}

/// A range of an entity's records.
pub(super) fn entity(
    connection: &Connection,
    entity: &Entity,
    range: EntityRange,
) -> Result<Vec<StoredRecord>, StoreError> {
    let texts = texts(entity.family());
    let sql = if range.backwards {
        &texts.entity_backwards
    } else {
        &texts.entity_forwards
    };
    let values = (
        entity.as_str(),
        bound(range.from),
        bound(range.to),
        bound(range.limit as u64),
    );
    collect_records(connection, entity.family(), sql, values)
}

/// What a range of an entity's records takes, by kind.
pub(super) fn sizes(
    connection: &Connection,
    entity: &Entity,
    (from, to): (Sequence, Sequence),
) -> Result<Vec<KindSize>, StoreError> {
    let sql = &texts(entity.family()).entity_sizes;
    let values = (entity.as_str(), bound(from), bound(to));
    collect(connection, sql, values, |row| {
        Ok(KindSize {
            kind: row.get(0).map_err(failure)?,
            records: number(row, 1)?,
            bytes: number(row, 2)?,
        })
    })
}

/// Records of an entity by number.
pub(super) fn some(
    connection: &Connection,
    entity: &Entity,
    sequences: &[Sequence],
) -> Result<Vec<StoredRecord>, StoreError> {
    let sql = &texts(entity.family()).entity_one;
    let mut sequences = sequences.to_vec();
    sequences.sort_unstable();
    sequences.dedup();
    let mut records = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let values = (entity.as_str(), bound(sequence));
        records.extend(collect_records(connection, entity.family(), sql, values)?);
    }
    Ok(records)
}

/// The newest record of an entity.
pub(super) fn entity_head(
    connection: &Connection,
    entity: &Entity,
) -> Result<Option<EntityHead>, StoreError> {
    let family = entity.family();
    let sql = &texts(family).entity_head;
    let found = collect(connection, sql, [entity.as_str()], |row| {
        let place = Place::from_column(row.get(0).map_err(failure)?);
        Ok(EntityHead {
            shard: Shard {
                family,
                number: place.shard(),
            },
            position: place.position(),
            sequence: number(row, 1)?,
        })
    })?;
    Ok(found.into_iter().next())
}

/// The newest record of a file that carries a key.
pub(super) fn find(
    connection: &Connection,
    family: Family,
    key: &str,
) -> Result<Option<StoredRecord>, StoreError> {
    let found = collect_records(
        connection,
        family,
        &texts(family).find,
        (key_prefix(key), key),
    )?;
    Ok(found.into_iter().max_by_key(|record| record.position))
}

/// Records of a shard after a position.
pub(super) fn shard(
    connection: &Connection,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<StoredRecord>, StoreError> {
    let (from, to) = stretch(shard, after);
    let sql = &texts(shard.family).shard;
    collect_records(
        connection,
        shard.family,
        sql,
        (from, to, bound(limit as u64)),
    )
}

/// Records of a shard after a position, with what the chain check needs.
pub(super) fn chain(
    connection: &Connection,
    shard: Shard,
    after: Position,
    limit: usize,
) -> Result<Vec<ChainedRecord>, StoreError> {
    let (from, to) = stretch(shard, after);
    let mut decoder = Decoder {
        family: shard.family,
        newest: None,
    };
    let sql = &texts(shard.family).chain;
    collect(connection, sql, (from, to, bound(limit as u64)), |row| {
        let record = decoder.record(row)?;
        let place = Place::new(shard.number, record.position);
        let short = |_| damaged(shard, place, "its chain value or digest is not 32 bytes");
        Ok(ChainedRecord {
            record,
            erased: row.get::<_, Option<Digest>>(8).map_err(short)?,
            chain: row.get::<_, Digest>(9).map_err(short)?,
        })
    })
}

/// Snapshots after an entity's name, so many at most.
pub(super) fn snapshots(
    connection: &Connection,
    family: Family,
    (after, limit): (&str, usize),
) -> Result<Vec<(Entity, Snapshot)>, StoreError> {
    let sql = &texts(family).snapshots;
    collect(connection, sql, (after, bound(limit as u64)), |row| {
        let name: String = row.get(0).map_err(failure)?;
        let entity = Entity::parse(&name).ok_or_else(|| {
            StoreError::Damaged("a snapshot is of an entity of no known sort".into())
        })?;
        let snapshot = Snapshot {
            sequence: number(row, 1)?,
            version: row.get(2).map_err(failure)?,
            payload: blob(row, 3)?,
        };
        Ok((entity, snapshot))
    })
}

/// The snapshot of an entity.
pub(super) fn snapshot(
    connection: &Connection,
    entity: &Entity,
) -> Result<Option<Snapshot>, StoreError> {
    let sql = &texts(entity.family()).snapshot_load;
    let found = collect(connection, sql, [entity.as_str()], |row| {
        Ok(Snapshot {
            sequence: number(row, 0)?,
            version: row.get(1).map_err(failure)?,
            payload: blob(row, 2)?,
        })
    })?;
    Ok(found.into_iter().next())
}
