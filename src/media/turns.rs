//! One at a time for each user: what is counted must not change before what was counted for is done.

use std::hash::{BuildHasher as _, RandomState};

use playhouse_actors::house::{Desks, Held, HouseError, Places};
use ruma::UserId;
use tokio::sync::{Mutex, MutexGuard};

/// Users share so many turns; two that share one wait for each other, which is harmless.
const TURNS: usize = 256;

/// Everybody's turns: on this node, and then among all.
pub(crate) struct Turns {
    hasher: RandomState,
    turns: Vec<Mutex<()>>,
    desks: Desks,
}

/// Nobody else does something for this user until this is dropped.
pub(crate) struct Turn<'a> {
    _everywhere: Held,
    _here: MutexGuard<'a, ()>,
}

impl Turns {
    /// Nobody does anything.
    pub(crate) fn new(desks: &Desks) -> Self {
        Self {
            hasher: RandomState::new(),
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            desks: desks.clone(),
        }
    }

    /// Waits until nobody else does something for this user.
    pub(crate) async fn of(&self, user_id: &UserId) -> Result<Turn<'_>, HouseError> {
        let index = self.hasher.hash_one(user_id) as usize % TURNS;
        let here = self.turns[index].lock().await;
        let name = format!("uploads {user_id}");
        Ok(Turn {
            _everywhere: self.desks.lock(&name, Places::ONE).await?,
            _here: here,
        })
    }
}
