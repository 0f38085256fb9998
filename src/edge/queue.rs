//! Requests that cost much: a bounded number at a time, others wait in the order in which they came. Of each user one counts; the next waits behind it,
//! so that nobody takes the place of all others.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, Semaphore, SemaphorePermit};

use super::failure::Failure;

/// Who has waited in vain may come again so much later.
const AGAIN_MS: u64 = 2_000;

/// So many requests of one user may wait behind each other.
const OF_USER_MAX: usize = 8;

/// So many users may wait.
const USERS_MAX: usize = 10_000;

/// A queue.
pub(crate) struct Queue {
    places: Semaphore,
    places_max: usize,
    wait_max: Duration,
    turns: Mutex<BTreeMap<OwnedUserId, Weak<Turn<()>>>>,
}

/// A place; given up when dropped.
pub(crate) struct Admission<'a> {
    _place: SemaphorePermit<'a>,
    _turn: OwnedMutexGuard<()>,
}

impl Queue {
    /// A queue before so many places, in which nobody waits longer than this.
    pub(crate) fn new(places: u64, wait_max: Duration) -> Self {
        let places = usize::try_from(places).unwrap_or(usize::MAX);
        let places_max = places.min(Semaphore::MAX_PERMITS);
        Self {
            places: Semaphore::new(places_max),
            places_max,
            wait_max,
            turns: Mutex::default(),
        }
    }

    /// Waits for a place; who waits too long is told when to come again.
    pub(crate) async fn enter(&self, user_id: &UserId) -> Result<Admission<'_>, Failure> {
        let refusal = || Failure::limit_exceeded(AGAIN_MS);
        let turn = self.turn(user_id).ok_or_else(refusal)?;
        let admitted = async {
            let turn = turn.lock_owned().await;
            let place = self.places.acquire().await.ok()?;
            Some(Admission {
                _place: place,
                _turn: turn,
            })
        };
        let admitted = tokio::time::timeout(self.wait_max, admitted).await;
        admitted.ok().flatten().ok_or_else(refusal)
    }

    /// So many places are taken.
    pub(crate) fn taken(&self) -> usize {
        let free = self.places.available_permits();
        self.places_max.saturating_sub(free)
    }

    fn turn(&self, user_id: &UserId) -> Option<Arc<Turn<()>>> {
        let mut turns = self.turns.lock();
        if let Some(turn) = turns.get(user_id).and_then(Weak::upgrade) {
            return (Arc::strong_count(&turn) <= OF_USER_MAX + 1).then_some(turn);
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        if turns.len() >= USERS_MAX {
            return None;
        }
        let turn = Arc::new(Turn::new(()));
        turns.insert(user_id.to_owned(), Arc::downgrade(&turn));
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use ruma::user_id;

    use super::*;

    #[tokio::test]
    async fn each_user_has_one_place_and_nobody_waits_for_ever() {
        let queue = Queue::new(2, Duration::from_millis(500));
        let (anna, bert, carl) = (
            user_id!("@anna:x.org"),
            user_id!("@bert:x.org"),
            user_id!("@carl:x.org"),
        );
        let first = queue.enter(anna).await.expect("nobody is there");
        // Another request of the same user leaves the second place to others.
        let mut second = Box::pin(queue.enter(anna));
        assert!(second.as_mut().now_or_never().is_none());
        let other = queue.enter(bert).await.expect("a place is free");
        let mut third = Box::pin(queue.enter(carl));
        assert!(third.as_mut().now_or_never().is_none());
        drop(other);
        let third = third.await.expect("a place came free");
        let refused = second.await.err().expect("it has waited too long");
        assert_eq!(refused.status(), 429);
        drop((first, third));
        assert!(queue.enter(anna).await.is_ok());
        assert!(queue.turns.lock().len() <= 3);
    }
}
