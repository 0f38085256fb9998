//! Who may send at once.
//!
//! Three lanes, so that those who answer never wait for those who do not: destinations that took the last transaction, destinations of which nothing is known,
//! and those whose last attempt failed. Who gave a sign of life since is none of these. Who does not answer soon makes room in its lane and waits on, among a bounded number of patient ones.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many attempts at once at destinations whose last one failed.
const DEAD_MAX: usize = 8;

/// So many attempts may wait for slow answers beside the lanes.
const PATIENT_MAX: usize = 1_024;

/// An answer that takes longer than this is a slow one.
pub(crate) const SLOW_AFTER: Duration = Duration::from_millis(250);

/// The lanes of a node.
pub struct Lanes {
    proven: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    dead: Arc<Semaphore>,
    patient: Arc<Semaphore>,
}

/// What a destination's last attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It succeeded.
    Proven,
    /// There was none.
    Unknown,
    /// It failed.
    Dead,
}

impl Lanes {
    /// Lanes for so many transactions at once to those who answer.
    pub fn new(transactions_max: usize) -> Self {
        let lane = |width| Arc::new(Semaphore::new(width));
        Self {
            proven: lane(transactions_max.max(1)),
            unknown: lane(transactions_max.max(1)),
            dead: lane(DEAD_MAX),
            patient: lane(PATIENT_MAX),
        }
    }

    /// Waits for a place in a lane.
    pub(crate) async fn enter(&self, standing: Standing) -> OwnedSemaphorePermit {
        let entered = self.lane(standing).clone().acquire_owned().await;
        entered.expect("a lane is never closed")
    }

    /// Whether who enters a lane now must wait.
    pub(crate) fn is_full(&self, standing: Standing) -> bool {
        self.lane(standing).available_permits() == 0
    }

    fn lane(&self, standing: Standing) -> &Arc<Semaphore> {
        match standing {
            Standing::Proven => &self.proven,
            Standing::Unknown => &self.unknown,
            Standing::Dead => &self.dead,
        }
    }

    /// A place among the patient instead of one in a lane, while there is one. The dead stay in theirs.
    pub(crate) fn step_aside(
        &self,
        standing: Standing,
        permit: OwnedSemaphorePermit,
    ) -> OwnedSemaphorePermit {
        if standing == Standing::Dead {
            return permit;
        }
        self.patient.clone().try_acquire_owned().unwrap_or(permit)
    }
}
