//! What one node at a time does.
//!
//! It falls to a shard, and is done by the node that serves the shard, or, if that node is not for such things, by one that is: begun when the map says so,
//! ended when it does not any more or the lease has run out. For a moment two nodes may do it: whoever does it must bear that.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Family, Layout, Shard},
    port::StoreError,
};

use crate::kernel::{Place, Routes};

/// The map and the lease are looked at so often, whether or not the map says that it has changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What could not be begun is begun again so much later.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What does not end within this time is cut off.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Something that goes on until it is told to stop.
pub trait Underway: Send + Sync + 'static {
    /// Ends it, and waits for that.
    fn stop(&self, within: Duration) -> BoxFuture<'_, ()>;
}

/// Begins something; may be called again when that has ended.
pub type Begin<T> = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<T>, StoreError>> + Send + Sync>;

/// See the module's documentation.
pub struct Duty<T> {
    /// What it is called.
    pub name: &'static str,
    /// Who serves this does it, if it has the role.
    pub shard: Shard,
    /// What a node must be for to do it; otherwise it falls to another that is. `None`: it can only be done where the shard is.
    pub role: Option<&'static str>,
    /// How it begins.
    pub begin: Begin<T>,
}

/// The shard of a family to which what is called so falls: what different names stand for is spread.
pub fn shard_of_name(layout: Layout, family: Family, name: &str) -> Shard {
    let number = layout.shard_of(&Entity::house(name)).number;
    Shard { family, number }
}

impl<T: Underway> Duty<T> {
    /// Does it whenever it falls to this node, until told to stop.
    pub async fn attend(self, routes: Arc<dyn Routes>, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut changes = routes.changes();
        let mut begun: Option<Vec<T>> = None;
        loop {
            changes.borrow_and_update();
            let is_here = self.falls_here(&*routes);
            let mut pause = LOOK_EVERY;
            match begun.take() {
                Some(underway) if !is_here => {
                    end(underway).await;
                    tracing::debug!(duty = self.name, shard = %self.shard, "ended here");
                }
                None if is_here => {
                    let begins = tokio::select! {
                        biased;
                        () = &mut stop => return,
                        begins = (self.begin)() => begins,
                    };
                    match begins {
                        Ok(underway) => begun = Some(underway),
                        Err(error) => {
                            tracing::warn!(duty = self.name, %error, "cannot begin, will try again");
                            pause = RETRY_AFTER;
                        }
                    }
                }
                as_before => begun = as_before,
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                _ = changes.changed(), if pause == LOOK_EVERY => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        end(begun.unwrap_or_default()).await;
    }

    fn falls_here(&self, routes: &dyn Routes) -> bool {
        match self.role {
            Some(role) => routes.does(self.shard, (self.name, role)),
            None => routes.place(self.shard) == Place::Here,
        }
    }
}

async fn end<T: Underway>(underway: Vec<T>) {
    let ends = underway.iter().map(|one| one.stop(END_WITHIN));
    futures_util::future::join_all(ends).await;
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Instant,
    };

    use playhouse_schema::register::NodeName;

    use super::*;
    use crate::cluster::{Map, roles};

    const SHARD: Shard = Shard {
        family: Family::Rooms,
        number: 2,
    };

    struct Work(Arc<AtomicUsize>);

    impl Underway for Work {
        fn stop(&self, _within: Duration) -> BoxFuture<'_, ()> {
            self.0.fetch_sub(1, Ordering::SeqCst);
            Box::pin(std::future::ready(()))
        }
    }

    async fn until(what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while !holds() {
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn is_done_where_its_shard_is_as_long_as_the_lease_runs() {
        let map = Arc::new(Map::new(NodeName::parse("a").unwrap()));
        map.extend(Instant::now(), Duration::from_secs(3_600));
        let working = Arc::new(AtomicUsize::new(0));
        let (counted, failures) = (working.clone(), AtomicUsize::new(0));
        let duty = Duty {
            name: "work",
            shard: SHARD,
            role: Some(roles::BACKGROUND),
            begin: Arc::new(
                move || -> BoxFuture<'static, Result<Vec<Work>, StoreError>> {
                    let fails = failures.fetch_add(1, Ordering::SeqCst) == 0;
                    let work = Work(counted.clone());
                    Box::pin(async move {
                        if fails {
                            return Err(StoreError::Database("not yet".into()));
                        }
                        work.0.fetch_add(1, Ordering::SeqCst);
                        Ok(vec![work])
                    })
                },
            ),
        };
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let told = async move {
            let _ = stopped.wait_for(|told| *told).await;
        };
        let attending = tokio::spawn(duty.attend(map.clone(), told));
        let at_work = |count| {
            let working = working.clone();
            move || working.load(Ordering::SeqCst) == count
        };
        assert!(at_work(0)());
        map.serve(&[SHARD]);
        until("it begins", at_work(1)).await;
        map.part_with(SHARD);
        until("it ends with the shard", at_work(0)).await;
        map.serve(&[SHARD]);
        until("it begins again", at_work(1)).await;
        map.extend(Instant::now(), Duration::ZERO);
        until("it ends with the lease", at_work(0)).await;
        map.extend(Instant::now(), Duration::from_secs(3_600));
        until("it begins with the next lease", at_work(1)).await;
        stop.send_replace(true);
        attending.await.unwrap();
        assert!(at_work(0)());
    }
}
