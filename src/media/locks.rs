//! Who stores a blob and who removes one: a blob is not removed between the moment in which it is stored and the one in which the log names it.
//!
//! On one node the locks here are all there is. Where there are others, whoever holds one takes the same lock at a desk. Desks forget: what holds even then is
//! the order in which contents are stored, named, put aside and removed, see `blobs/aside.rs`. With the locks it hardly ever comes to that.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, OnceLock},
};

use playhouse_actors::house::{self, Desks, HouseError, Places};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Blobs share so many locks; two that share one wait for each other only when one of them is removed.
const LOCKS: usize = 256;

/// So many may store the same blob at once, on all nodes.
const STORING_MAX: u32 = 1 << 20;

/// A blob that is not removed as long as this is there.
pub(super) struct Held {
    _everywhere: house::Held,
    _here: OwnedRwLockReadGuard<()>,
}

/// A blob that nobody stores as long as this is there.
pub(crate) struct Alone {
    _everywhere: house::Held,
    _here: OwnedRwLockWriteGuard<()>,
}

/// The locks of all blobs.
pub(super) struct Locks {
    hasher: RandomState,
    locks: Vec<Arc<RwLock<()>>>,
    /// Where the other nodes are, if there are any.
    desks: OnceLock<Desks>,
}

impl Default for Locks {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            locks: (0..LOCKS).map(|_| Arc::default()).collect(),
            desks: OnceLock::new(),
        }
    }
}

impl Locks {
    /// There may be other nodes.
    pub(super) fn share(&self, desks: &Desks) {
        let _ = self.desks.set(desks.clone());
    }

    /// Waits until nobody removes the blob.
    pub(super) async fn shared(&self, name: &str) -> Result<Held, HouseError> {
        let here = self.of(name).read_owned().await;
        Ok(Held {
            _everywhere: self.everywhere(name, 1).await?,
            _here: here,
        })
    }

    /// Waits until nobody stores the blob.
    pub(super) async fn alone(&self, name: &str) -> Result<Alone, HouseError> {
        let here = self.of(name).write_owned().await;
        Ok(Alone {
            _everywhere: self.everywhere(name, STORING_MAX).await?,
            _here: here,
        })
    }

    async fn everywhere(&self, name: &str, share: u32) -> Result<house::Held, HouseError> {
        let Some(desks) = self.desks.get() else {
            return Ok(house::Held::nothing());
        };
        let places = Places {
            share,
            all: STORING_MAX,
            line_max: u32::MAX,
        };
        desks.lock(&format!("blob {name}"), places).await
    }

    fn of(&self, name: &str) -> Arc<RwLock<()>> {
        let index = self.hasher.hash_one(name) as usize % LOCKS;
        self.locks[index].clone()
    }
}
