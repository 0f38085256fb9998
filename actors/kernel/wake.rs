//! Waking up: snapshot, what it needs, then the records after it.

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::{EntityRange, LogStore, StoreError},
    record::codec::Record as _,
};

use super::domain::Domain;

/// How many records one read brings.
const PAGE_RECORDS: usize = 500;

/// A state as read from the store.
pub(super) struct Woken<D> {
    pub(super) state: D,
    pub(super) sequence: Sequence,
    pub(super) position: Position,
    pub(super) records_since_snapshot: u64,
}

/// Folds an entity's log into its state.
pub(super) async fn wake<D: Domain>(
    store: &dyn LogStore,
    entity: &Entity,
) -> Result<Woken<D>, StoreError> {
    let (mut state, mut sequence) = from_snapshot::<D>(store, entity).await?;
    let start = sequence;
    let mut position = 0;
    if start > 0 {
        let head = store.entity_heads(std::slice::from_ref(entity)).await?;
        position = head
            .first()
            .copied()
            .flatten()
            .map_or(0, |head| head.position);
        state.hydrate(store).await?;
    }
    loop {
        let range = EntityRange {
            from: sequence + 1,
            to: Sequence::MAX >> 1,
            backwards: false,
            limit: PAGE_RECORDS,
        };
        let page = store.read_entity(entity, range).await?;
        for stored in &page {
            if stored.sequence != sequence + 1 {
                return Err(StoreError::Damaged(format!(
                    "{entity}: record {} follows {sequence}",
                    stored.sequence
                )));
            }
            match D::Record::decode(stored)? {
                Some(record) => state.apply(stored.sequence, stored.position, &record),
                None => state.erased(stored.sequence, None),
            }
            sequence = stored.sequence;
            position = stored.position;
        }
        if page.len() < PAGE_RECORDS {
            return Ok(Woken {
                state,
                sequence,
                position,
                records_since_snapshot: sequence - start,
            });
        }
    }
}

async fn from_snapshot<D: Domain>(
    store: &dyn LogStore,
    entity: &Entity,
) -> Result<(D, Sequence), StoreError> {
    if let Some(snapshot) = store.load_snapshot(entity).await?
        && snapshot.version == D::SNAPSHOT_VERSION
        && let Some(state) = D::from_snapshot(entity, &snapshot)
    {
        return Ok((state, snapshot.sequence));
    }
    Ok((D::empty(entity), 0))
}
