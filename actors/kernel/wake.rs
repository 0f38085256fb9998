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

/// Folds an entity's log into its state: from its snapshot on, or from the beginning.
pub(super) async fn wake<D: Domain>(
    store: &dyn LogStore,
    entity: &Entity,
    anew: bool,
) -> Result<Woken<D>, StoreError> {
    let snapshot = match anew {
        true => None,
        false => from_snapshot::<D>(store, entity).await?,
    };
    let (mut state, start, mut position) = match snapshot {
        Some(found) => found,
        None => (D::empty(entity), 0, 0),
    };
    let mut sequence = start;
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
            // Records may name older ones that the state does not hold.
            state.hydrate(store).await?;
            return Ok(Woken {
                state,
                sequence,
                position,
                records_since_snapshot: sequence - start,
            });
        }
    }
}

/// The newest snapshot that decodes, has what it names and is not ahead of the log, with its number and the position of the entity's newest record.
async fn from_snapshot<D: Domain>(
    store: &dyn LogStore,
    entity: &Entity,
) -> Result<Option<(D, Sequence, Position)>, StoreError> {
    let Some(snapshot) = store.load_snapshot(entity).await? else {
        return Ok(None);
    };
    if snapshot.version != D::SNAPSHOT_VERSION {
        return Ok(None);
    }
    let Some(mut state) = D::from_snapshot(entity, &snapshot) else {
        tracing::warn!(%entity, "snapshot does not decode, the whole log is read");
        return Ok(None);
    };
    let heads = store.entity_heads(std::slice::from_ref(entity)).await?;
    match heads.first().copied().flatten() {
        Some(head) if head.sequence >= snapshot.sequence => match state.hydrate(store).await {
            Ok(()) => Ok(Some((state, snapshot.sequence, head.position))),
            // What it names was replaced since, in a room that was deleted.
            Err(StoreError::Damaged(why)) => {
                tracing::warn!(%entity, why, "snapshot names what is not there, the whole log is read");
                Ok(None)
            }
            Err(error) => Err(error),
        },
        // A log that was restored from a backup can be older than the snapshots: it decides.
        _ => {
            tracing::warn!(%entity, sequence = snapshot.sequence, "snapshot is ahead of the log and ignored");
            Ok(None)
        }
    }
}
