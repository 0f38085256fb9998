//! A house among other servers, which are in memory.

use super::*;
use crate::network::Network;

/// Servers in memory.
pub(super) trait Servers: Default + Send + Sync + 'static {
    /// The network on which they are.
    fn network(servers: Arc<Self>) -> Arc<dyn Network>;
}

/// A house, the servers around it, and one of its users.
pub(super) struct Wired<S> {
    pub(super) trial: Trial,
    pub(super) wire: Arc<S>,
    pub(super) alice: OwnedUserId,
}

impl<S: Servers> Wired<S> {
    pub(super) async fn new() -> Self {
        let wire = Arc::<S>::default();
        let folder = tempfile::tempdir().unwrap();
        let house = house(folder.path(), &wire).await;
        let trial = Trial { folder, house };
        let alice = trial.user("alice").await;
        Self { trial, wire, alice }
    }

    /// The process dies, and another begins on the same data.
    pub(super) async fn crash(self) -> Self {
        let Self { trial, wire, alice } = self;
        let Trial {
            folder,
            house: dead,
        } = trial;
        drop(dead);
        let house = house(folder.path(), &wire).await;
        let trial = Trial { folder, house };
        Self { trial, wire, alice }
    }
}

/// One that soon tries again what was not taken.
async fn house<S: Servers>(folder: &Path, wire: &Arc<S>) -> Arc<House> {
    let mut config = config(env().with_network(S::network(wire.clone())));
    config.outbox.retry_wait_ms = 20;
    config.outbox.retry_wait_max_ms = 100;
    // Who is silent is not asked again before a test is over, however long that takes.
    config.outbox.answer_within_ms = 3_600_000;
    House::open(store(folder).await, config).await.unwrap()
}
