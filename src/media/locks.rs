//! Who stores a blob and who removes one: a blob is not removed between the moment in which it is stored and the one in which the log names it.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Blobs share so many locks; two that share one wait for each other only when one of them is removed.
const LOCKS: usize = 256;

/// A blob that is not removed as long as this is there.
pub(super) type Held = OwnedRwLockReadGuard<()>;

/// A blob that nobody stores as long as this is there.
pub(crate) type Alone = OwnedRwLockWriteGuard<()>;

/// The locks of all blobs.
pub(super) struct Locks {
    hasher: RandomState,
    locks: Vec<Arc<RwLock<()>>>,
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
        }
    }
}

impl Locks {
    /// Waits until nobody removes the blob.
    pub(super) async fn shared(&self, name: &str) -> Held {
        self.of(name).read_owned().await
    }

    /// Waits until nobody stores the blob.
    pub(super) async fn alone(&self, name: &str) -> Alone {
        self.of(name).write_owned().await
    }

    fn of(&self, name: &str) -> Arc<RwLock<()>> {
        let index = self.hasher.hash_one(name) as usize % LOCKS;
        self.locks[index].clone()
    }
}
