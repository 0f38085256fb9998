//! What wakes a node's ward between two beats.

use parking_lot::Mutex;
use playhouse_schema::register::Handed;
use tokio::sync::Notify;

/// So many shards are handed over and not looked at yet, at most. Of others the register tells with the next beat.
const HANDED_MAX: usize = 4_096;

/// See the module's documentation.
#[derive(Default)]
pub struct Bell {
    rung: Notify,
    comes: Notify,
    handed: Mutex<Vec<Handed>>,
}

impl Bell {
    /// Something has happened: the next beat is now.
    pub fn ring(&self) {
        self.rung.notify_one();
    }

    /// Another node hands a shard over.
    pub fn hand(&self, handed: Handed) {
        let mut waiting = self.handed.lock();
        if waiting.len() < HANDED_MAX {
            waiting.push(handed);
            self.comes.notify_one();
        }
    }

    /// Waits until it is rung.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Waits for shards that are handed over.
    pub(super) async fn handed(&self) -> Vec<Handed> {
        self.comes.notified().await;
        std::mem::take(&mut self.handed.lock())
    }
}
