//! Letting an actor begin again from its log alone: what its snapshot got wrong is gone then.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::Entry;
use playhouse_schema::{address::Entity, register::NodeName};
use ractor::ActorStatus;

use super::{
    directory::Directory,
    domain::{Domain, Unavailable},
    reach::opened,
    ways::{Call, Errand, Link, LinkError, MAP_PATIENCE, Place, Ways},
};

/// How often is looked whether an actor that wakes has woken …
const POLL: Duration = Duration::from_millis(10);

/// … and how many times.
const POLLS_MAX: usize = 1_000;

/// The node on which it is, is looked for and asked for so long.
const REACH_WITHIN: Duration = Duration::from_secs(15);

impl<D: Domain> Directory<D> {
    /// Lets the next life of an entity read its whole log, whatever its snapshot says, on whichever node it is. What is queued is served before, by the present
    /// one. `false` where that does not come to an end, or the node is not reached.
    pub async fn renew(&self, entity: &Entity) -> bool {
        let Ways::Cluster { routes, link } = &self.ways else {
            return self.renew_here(entity).await;
        };
        let shard = self.layout.shard_of(entity);
        let deadline = Instant::now() + REACH_WITHIN;
        let mut changes = routes.changes();
        loop {
            changes.borrow_and_update();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let is_done = match routes.place(shard) {
                Place::Nowhere => None,
                Place::Here => Some(self.renew_here(entity).await),
                Place::There(node) => Self::renew_there(&**link, (&node, entity), left).await,
            };
            if let Some(is_done) = is_done {
                return is_done;
            }
            let _ = tokio::time::timeout(MAP_PATIENCE.1.min(left), changes.changed()).await;
        }
    }

    /// `None` when it is to be looked for again: to do it twice does no harm.
    async fn renew_there(
        link: &dyn Link,
        (node, entity): (&NodeName, &Entity),
        within: Duration,
    ) -> Option<bool> {
        let call = Call {
            kind: D::NAME.to_owned(),
            entity: entity.clone(),
            errand: Errand::Renew,
            body: Bytes::new(),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            waits: false,
        };
        match link.ask(node, call).await {
            Ok(frame) => match opened::<bool, Unavailable>(&frame) {
                Ok(answer) => Some(answer?.unwrap_or(false)),
                Err(_) => Some(false),
            },
            Err(LinkError::Malformed(_)) => Some(false),
            Err(_) => None,
        }
    }

    /// The same on this node; `false` where it is not served here, too.
    pub(super) async fn renew_here(&self, entity: &Entity) -> bool {
        if !self.ways.is_here(self.layout.shard_of(entity)) {
            return false;
        }
        for _ in 0..POLLS_MAX {
            if self.try_renew(entity) {
                return true;
            }
            tokio::time::sleep(POLL).await;
        }
        false
    }

    /// Lives begin under the lock of their entry: none comes between the end of the present one and the mark.
    fn try_renew(&self, entity: &Entity) -> bool {
        match self.slots.entry(entity.clone()) {
            Entry::Occupied(mut occupied) => {
                let slot = occupied.get_mut();
                match slot.actor.get_status() {
                    ActorStatus::Running if !slot.leaving => {
                        slot.leaving = true;
                        let _ = slot.actor.drain();
                    }
                    // Drained before it runs it would forget its mail.
                    status if status < ActorStatus::Running => return false,
                    _ => {}
                }
                self.anew.lock().insert(entity.clone());
            }
            Entry::Vacant(vacant) => {
                self.anew.lock().insert(entity.clone());
                drop(vacant);
            }
        }
        true
    }
}
