//! Shards that other nodes hand over.

use std::sync::Arc;

use playhouse_schema::register::Handed;

use super::ward::Ward;

impl Ward {
    /// Begins what is handed over, as it comes.
    pub(super) async fn receive_all(self: &Arc<Self>) {
        loop {
            for handed in self.bell.handed().await {
                self.receive(handed);
            }
        }
    }

    /// By the register this node holds a shard. It may have seen so itself, or have given it away again, before it was told.
    fn receive(self: &Arc<Self>, handed: Handed) {
        let own = self.incarnation();
        let shard = handed.shard;
        if handed.life != own || !self.set_out(shard) {
            return;
        }
        if self.is_late(&handed) || self.map.serves(shard) {
            self.arrived(shard);
            return;
        }
        let ward = self.clone();
        ractor::concurrency::spawn(async move {
            ward.hold(own, vec![handed.claim()]).await;
            // What could not be taken is claimed again with the next beat, and not before.
            ward.arrived(shard);
        });
    }

    /// Whether the shard has been served under that term already, or has gone on to somebody since.
    fn is_late(&self, handed: &Handed) -> bool {
        let life = self.life.lock();
        let (shard, term) = (&handed.shard, handed.term);
        let is_served = life.terms.get(shard).is_some_and(|known| *known >= term);
        is_served || life.newest.get(shard).is_some_and(|known| *known > term)
    }
}
