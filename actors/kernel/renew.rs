//! Letting an actor begin again from its log alone: what its snapshot got wrong is gone then.

use std::time::Duration;

use dashmap::Entry;
use playhouse_schema::address::Entity;
use ractor::ActorStatus;

use super::{directory::Directory, domain::Domain};

/// How often is looked whether an actor that wakes has woken …
const POLL: Duration = Duration::from_millis(10);

/// … and how many times.
const POLLS_MAX: usize = 1_000;

impl<D: Domain> Directory<D> {
    /// Lets the next life of an entity read its whole log, whatever its snapshot says. What is queued is served before, by the present one. `false` where it is
    /// not served here, or does not come to an end.
    pub async fn renew(&self, entity: &Entity) -> bool {
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
