//! Which rooms are kept out, for those who ask at every step into a room.

use parking_lot::RwLock;
use tokio::sync::Notify;

use super::deletions::Blocks;

/// The rooms that are kept out, as they are durable. Nothing is known of them before the actor was awake for the first time.
#[derive(Default)]
pub struct BlockBoard {
    blocks: RwLock<Option<Blocks>>,
    changed: Notify,
}

impl BlockBoard {
    pub(super) fn publish(&self, blocks: &Blocks) {
        let blocks = blocks.clone();
        *self.blocks.write() = Some(blocks);
        self.changed.notify_one();
    }

    /// Waits until something of the purges, deletions or blocks has changed. One at a time may wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The actor is on another node from now on: nothing is known here any more.
    pub fn forget(&self) {
        *self.blocks.write() = None;
    }

    /// Whether a room is kept out; `None` when nothing is known yet.
    pub fn is_blocked(&self, room_id: &str) -> Option<bool> {
        let blocks = self.blocks.read();
        blocks.as_ref().map(|blocks| blocks.has(room_id))
    }
}
