//! What a feed holds of the world around it, for one life of its actor.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;
use playhouse_schema::record::user::SlidingSyncKept;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::surroundings::{Board, Ear, Sources};
use crate::{
    env::Env,
    user::{
        UserError,
        message::{ToDeviceIndex, UserSignal},
    },
};

/// The feed's way to its own actor.
pub(crate) trait Owner: Ear {
    /// Has to-device messages deleted that a device has received.
    fn acknowledge(&self, device_id: OwnedDeviceId, until: ToDeviceIndex);

    /// Keeps what a connection of sliding sync was told; ready when that is durable.
    fn keep(&self, kept: SlidingSyncKept) -> BoxFuture<'static, Result<(), UserError>>;

    /// Has a device's one-time keys given out no more.
    fn drop_one_time_keys(&self, device_id: OwnedDeviceId);
}

/// What a feed holds of the world around it.
pub(crate) struct Home {
    pub(crate) user_id: OwnedUserId,
    pub(crate) env: Env,
    pub(crate) board: Arc<dyn Board>,
    pub(crate) sources: Arc<dyn Sources>,
    pub(crate) owner: Arc<dyn Owner>,
    pub(crate) silent_rooms: Arc<BTreeSet<OwnedRoomId>>,
}

impl Home {
    /// Sends a signal to the own actor.
    pub(crate) fn tell(&self, signal: UserSignal) {
        self.owner.hear(signal);
    }
}

/// So many announcements may wait in the mailbox of one user. Beyond it the user is cut off from the board and reads its rooms anew.
const ANNOUNCEMENTS_MAX: usize = 20_000;

/// What hears announcements on behalf of the actor, within a bound. One for each time of reading the rooms.
pub(crate) struct OwnEar {
    owner: Arc<dyn Owner>,
    waiting: AtomicUsize,
    is_deaf: AtomicBool,
}

impl OwnEar {
    pub(crate) fn new(owner: Arc<dyn Owner>) -> Self {
        Self {
            owner,
            waiting: AtomicUsize::new(0),
            is_deaf: AtomicBool::new(false),
        }
    }

    /// The actor has taken an announcement in.
    pub(crate) fn heard(&self) {
        let less = |waiting: usize| Some(waiting.saturating_sub(1));
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Whether it has missed something.
    pub(crate) fn is_deaf(&self) -> bool {
        self.is_deaf.load(Ordering::Acquire)
    }
}

impl Ear for OwnEar {
    fn hear(&self, signal: UserSignal) -> bool {
        if self.is_deaf() {
            return false;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= ANNOUNCEMENTS_MAX {
            self.is_deaf.store(true, Ordering::Release);
            return false;
        }
        self.owner.hear(signal)
    }
}
