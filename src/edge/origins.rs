//! What other servers may do at once: their transactions are taken in one after the other, as the specification has servers send them, and who asks for
//! more than is usual is slowed down before it is refused.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use playhouse_actors::house::{Desks, Held, Places};
use ruma::{OwnedServerName, ServerName};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::failure::Failure;
use crate::config::Limits;

/// Who is refused may come again so much later.
const AGAIN_MS: u64 = 5_000;

/// Servers that do nothing now are forgotten when there are so many.
const ORIGINS_MAX: usize = 1_000;

/// The servers that are asking now.
pub(crate) struct Origins {
    bounds: Bounds,
    known: Mutex<BTreeMap<OwnedServerName, Arc<Origin>>>,
    /// Where the other nodes are, if there are any: a server's transactions are taken in one after the other by all together. Who asks for much is slowed
    /// down by each node alone.
    desks: Option<Desks>,
}

/// The bounds for each server.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    window: Duration,
    slow_after: u64,
    slow_by: Duration,
    slowed_max: usize,
    transactions_max: usize,
    waiting_max: usize,
}

/// One of them.
struct Origin {
    transactions: Arc<Semaphore>,
    /// Those that are at work or wait.
    lining_up: Arc<Semaphore>,
    slowed: Semaphore,
    window: Mutex<(Instant, u64)>,
}

/// A transaction may be taken in until this is dropped.
pub(crate) struct Turn {
    _everywhere: Held,
    _turn: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

impl Origins {
    /// Bounds as they are set.
    pub(crate) fn new(limits: &Limits) -> Self {
        let count = |count: u64| (count as usize).min(Semaphore::MAX_PERMITS / 2);
        Self {
            bounds: Bounds {
                window: Duration::from_millis(limits.server_window_ms),
                slow_after: match limits.server_slow_after {
                    0 => u64::MAX,
                    after => after,
                },
                slow_by: Duration::from_millis(limits.server_slow_ms),
                slowed_max: count(limits.server_slowed_max),
                transactions_max: count(limits.server_transactions_max),
                waiting_max: count(limits.server_transactions_waiting_max),
            },
            known: Mutex::default(),
            desks: None,
        }
    }

    /// The same among other nodes.
    pub(crate) fn among(limits: &Limits, desks: &Desks) -> Self {
        Self {
            desks: (!desks.is_alone()).then(|| desks.clone()),
            ..Self::new(limits)
        }
    }

    /// Waits until a server's earlier transactions are done; refuses when too many wait already.
    pub(crate) async fn enter(&self, origin: &ServerName) -> Result<Turn, Failure> {
        let refusal = || Failure::limit_exceeded(AGAIN_MS);
        let here = self.of(origin);
        let place = here.lining_up.clone().try_acquire_owned();
        let place = place.map_err(|_| refusal())?;
        let turn = here.transactions.clone().acquire_owned().await;
        let turn = turn.map_err(|_| refusal())?;
        Ok(Turn {
            _everywhere: self.everywhere(origin).await?,
            _turn: turn,
            _place: place,
        })
    }

    /// Waits until the transactions that other nodes take in are done.
    async fn everywhere(&self, origin: &ServerName) -> Result<Held, Failure> {
        let Some(desks) = &self.desks else {
            return Ok(Held::nothing());
        };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let places = Places {
            share: 1,
            all: count(self.bounds.transactions_max),
            line_max: count(self.bounds.waiting_max),
        };
        Ok(desks
            .lock(&format!("transactions {origin}"), places)
            .await?)
    }

    /// Lets a server that asks for much wait a while; refuses when too much of it waits already.
    pub(crate) async fn slow(&self, origin: &ServerName) -> Result<(), Failure> {
        let origin = self.of(origin);
        if origin.count(self.bounds.window) <= self.bounds.slow_after {
            return Ok(());
        }
        let place = origin.slowed.try_acquire();
        let _place = place.map_err(|_| Failure::limit_exceeded(AGAIN_MS))?;
        tokio::time::sleep(self.bounds.slow_by).await;
        Ok(())
    }

    fn of(&self, name: &ServerName) -> Arc<Origin> {
        let mut known = self.known.lock();
        if let Some(origin) = known.get(name) {
            return origin.clone();
        }
        if known.len() >= ORIGINS_MAX {
            let window = self.bounds.window;
            known.retain(|_, origin| Arc::strong_count(origin) > 1 || !origin.is_idle(window));
        }
        let origin = Arc::new(Origin::new(&self.bounds));
        known.insert(name.to_owned(), origin.clone());
        origin
    }
}

impl Origin {
    fn new(bounds: &Bounds) -> Self {
        let all = bounds.transactions_max + bounds.waiting_max;
        Self {
            transactions: Arc::new(Semaphore::new(bounds.transactions_max)),
            lining_up: Arc::new(Semaphore::new(all)),
            slowed: Semaphore::new(bounds.slowed_max),
            window: Mutex::new((Instant::now(), 0)),
        }
    }

    /// Counts a request among those of the window.
    fn count(&self, window: Duration) -> u64 {
        let mut counted = self.window.lock();
        if counted.0.elapsed() >= window {
            *counted = (Instant::now(), 0);
        }
        counted.1 += 1;
        counted.1
    }

    /// Whether nobody works or waits, and nothing is to be remembered. Permits keep the semaphores, not the origin.
    fn is_idle(&self, window: Duration) -> bool {
        let is_unused = |semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) == 1;
        is_unused(&self.transactions)
            && is_unused(&self.lining_up)
            && self.window.lock().0.elapsed() >= window
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};
    use ruma::server_name;

    use super::*;

    #[tokio::test]
    async fn a_server_waits_behind_itself_only() {
        let limits = Limits::default();
        let origins = Origins::new(&limits);
        let (one, two) = (server_name!("one.test"), server_name!("two.test"));
        let first = origins.enter(one).await.expect("nobody waits");
        assert!(origins.enter(two).await.is_ok());
        let waiting = (0..limits.server_transactions_waiting_max).map(|_| origins.enter(one));
        let mut waiting = Box::pin(join_all(waiting));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(origins.enter(one).await.is_err());
        drop(first);
        drop(waiting);
        assert!(origins.enter(one).await.is_ok());
    }

    #[tokio::test]
    async fn who_asks_for_much_is_slowed_down_and_then_refused() {
        let limits = Limits {
            server_slow_after: 2,
            server_slowed_max: 1,
            server_slow_ms: 20,
            server_window_ms: 600_000,
            ..Limits::default()
        };
        let origins = Origins::new(&limits);
        let (one, two) = (server_name!("one.test"), server_name!("two.test"));
        for _ in 0..2 {
            assert!(origins.slow(one).now_or_never().is_some());
        }
        let mut third = Box::pin(origins.slow(one));
        assert!(third.as_mut().now_or_never().is_none());
        let fourth = origins.slow(one).await;
        assert_eq!(fourth.expect_err("too many wait").status(), 429);
        assert!(origins.slow(two).now_or_never().is_some());
        third.await.expect("it has waited");
        // A window that is over counts no more.
        let origins = Origins::new(&Limits {
            server_window_ms: 0,
            ..limits
        });
        for _ in 0..4 {
            assert!(origins.slow(one).now_or_never().is_some());
        }
    }
}
