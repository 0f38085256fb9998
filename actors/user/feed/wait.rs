//! Syncs that wait for something to tell.

use std::collections::BTreeMap;

use ruma::OwnedDeviceId;

use crate::{
    kernel::Port,
    user::{UserAnswer, UserError, sync::request::Request},
};

/// So many syncs of one user wait at once; one more ends the oldest.
const WAITERS_MAX: usize = 64;

/// Where the answer of a sync goes.
pub(crate) type SyncPort = Port<UserAnswer, UserError>;

/// A sync and who asked.
pub(crate) struct Waiter {
    pub(crate) request: Request,
    pub(crate) port: SyncPort,
    /// Ends with what there is, even if that is nothing.
    pub(crate) is_last: bool,
    timer: Option<Timer>,
}

/// Ends with its waiter.
struct Timer(tokio::task::AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Waiter {
    pub(crate) fn new(request: Request, port: SyncPort, is_last: bool) -> Self {
        Self {
            request,
            port,
            is_last,
            timer: None,
        }
    }
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiter({})", self.request.device_id)
    }
}

/// All syncs that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: BTreeMap<u64, Waiter>,
    next: u64,
}

impl Waiters {
    /// The number that the next waiter gets.
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Lets a sync wait under [`Waiters::next_number`]. Returns the oldest when there are too many.
    pub(crate) fn park(
        &mut self,
        mut waiter: Waiter,
        timer: tokio::task::AbortHandle,
    ) -> Option<Waiter> {
        waiter.timer = Some(Timer(timer));
        self.waiting.insert(self.next, waiter);
        self.next += 1;
        if self.waiting.len() > WAITERS_MAX {
            self.waiting.pop_first().map(|(_, waiter)| waiter)
        } else {
            None
        }
    }

    /// Takes one out.
    pub(crate) fn take(&mut self, number: u64) -> Option<Waiter> {
        self.waiting.remove(&number)
    }

    /// Takes out those for which there is something.
    pub(crate) fn take_if(&mut self, mut wanted: impl FnMut(&Request) -> bool) -> Vec<Waiter> {
        let numbers: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| wanted(&waiter.request))
            .map(|(number, _)| *number)
            .collect();
        numbers
            .into_iter()
            .filter_map(|number| self.waiting.remove(&number))
            .collect()
    }

    /// Takes out all.
    pub(crate) fn take_all(&mut self) -> Vec<Waiter> {
        std::mem::take(&mut self.waiting).into_values().collect()
    }

    /// The devices whose syncs wait.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &OwnedDeviceId> {
        self.waiting
            .values()
            .map(|waiter| &waiter.request.device_id)
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
