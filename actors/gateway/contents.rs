//! Contents of notifications that wait: they stand in the log only. A snapshot has none, so that nothing is left in it when they are taken out of the log.

use std::sync::Arc;

use playhouse_schema::{
    address::Sequence,
    port::{LogStore, StoreError},
    record::{
        codec::Record as _,
        gateway::{AcceptedPush, GatewayRecord},
    },
};

use super::{outbox, state::Outbox};

/// So many records are read at once.
const PAGE_RECORDS: usize = 500;

/// Reads what a snapshot does not hold.
pub(super) async fn hydrate(state: &mut Outbox, store: &dyn LogStore) -> Result<(), StoreError> {
    let entity = outbox(state.number);
    let mut wanted = state.hollow();
    wanted.extend(state.spent.keys());
    for page in wanted.chunks(PAGE_RECORDS) {
        for stored in store.read_some(&entity, page).await? {
            if let Some(GatewayRecord::Accepted(accepted)) = GatewayRecord::decode(&stored)? {
                state.put_content(stored.sequence, accepted);
            }
        }
    }
    Ok(())
}

impl Outbox {
    /// Those that wait and have no content.
    pub(super) fn hollow(&self) -> Vec<Sequence> {
        let pushes = self.pushes.values();
        let hollow = pushes.filter(|push| push.accepted.app_id.is_empty());
        hollow.map(|push| push.sequence).collect()
    }

    /// What the log says now of one that was accepted.
    pub(super) fn put_content(&mut self, sequence: Sequence, accepted: AcceptedPush) {
        if accepted.app_id.is_empty() {
            // It has ended since, and was taken out.
            self.spent.remove(&sequence);
            return;
        }
        let Some(before) = self.pushes.get(&sequence).cloned() else {
            return;
        };
        let was_due = self.unmake_due(&before);
        self.weight_bytes = self.weight_bytes.saturating_sub(before.weight_bytes());
        let mut push = Arc::unwrap_or_clone(before);
        push.accepted = accepted;
        self.weight_bytes += push.weight_bytes();
        if was_due {
            self.make_due(&push);
        }
        self.pushes.insert(sequence, Arc::new(push));
    }
}
