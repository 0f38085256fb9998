//! Transactions of other servers: one at a time for each, as the specification has servers send them. Who sends more at once waits behind itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::failure::Failure;

/// So many transactions of a server may wait: a repetition or two of one whose answer it did not wait for.
const WAITING_MAX: usize = 4;

/// Who is refused may come again so much later.
const AGAIN_MS: u64 = 5_000;

/// The servers that are sending now.
#[derive(Default)]
pub(crate) struct Origins(Mutex<BTreeMap<OwnedServerName, Weak<Turn<()>>>>);

impl Origins {
    /// Waits until a server's earlier transactions are done; refuses when too many wait already.
    pub(crate) async fn enter(&self, origin: &ServerName) -> Result<OwnedMutexGuard<()>, Failure> {
        let turn = self.turn(origin);
        let turn = turn.ok_or_else(|| Failure::limit_exceeded(AGAIN_MS))?;
        Ok(turn.lock_owned().await)
    }

    fn turn(&self, origin: &ServerName) -> Option<Arc<Turn<()>>> {
        let mut turns = self.0.lock();
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(origin).and_then(Weak::upgrade) {
            // This one, the one being worked on, and those that wait.
            return (Arc::strong_count(&turn) <= WAITING_MAX + 1).then_some(turn);
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(origin.to_owned(), Arc::downgrade(&turn));
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};
    use ruma::server_name;

    use super::*;

    #[tokio::test]
    async fn a_server_waits_behind_itself_only() {
        let origins = Origins::default();
        let (one, two) = (server_name!("one.test"), server_name!("two.test"));
        let first = origins.enter(one).await.expect("nobody waits");
        assert!(origins.enter(two).await.is_ok());
        let mut waiting = Box::pin(join_all((0..WAITING_MAX).map(|_| origins.enter(one))));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(origins.enter(one).await.is_err());
        drop(first);
        drop(waiting);
        assert!(origins.enter(one).await.is_ok());
        assert!(origins.0.lock().len() <= 2);
    }
}
