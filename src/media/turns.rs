//! One at a time for each user: what is counted must not change before what was counted for is done.

use std::hash::{BuildHasher as _, RandomState};

use ruma::UserId;
use tokio::sync::{Mutex, MutexGuard};

/// Users share so many turns; two that share one wait for each other, which is harmless.
const TURNS: usize = 256;

/// Everybody's turns.
pub(crate) struct Turns {
    hasher: RandomState,
    turns: Vec<Mutex<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Turns {
    /// Waits until nobody else does something for this user.
    pub(crate) async fn of(&self, user_id: &UserId) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(user_id) as usize % TURNS;
        self.turns[index].lock().await
    }
}
