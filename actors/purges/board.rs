//! Which rooms are kept out, for those who ask at every step into a room.

use parking_lot::RwLock;

use super::deletions::Blocks;

/// The rooms that are kept out, as they are durable. Nothing is known of them before the actor was awake for the first time.
#[derive(Default)]
pub struct BlockBoard(RwLock<Option<Blocks>>);

impl BlockBoard {
    pub(super) fn publish(&self, blocks: &Blocks) {
        let blocks = blocks.clone();
        *self.0.write() = Some(blocks);
    }

    /// Whether a room is kept out; `None` when nothing is known yet.
    pub fn is_blocked(&self, room_id: &str) -> Option<bool> {
        let blocks = self.0.read();
        blocks.as_ref().map(|blocks| blocks.has(room_id))
    }
}
