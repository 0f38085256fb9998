//! What a feed holds of the world around it, for one life of its actor.

use std::sync::Arc;

use ruma::{OwnedDeviceId, OwnedUserId};

use super::surroundings::{Board, Ear, Sources};
use crate::{
    env::Env,
    user::message::{ToDeviceIndex, UserSignal},
};

/// The feed's way to its own actor.
pub(crate) trait Owner: Ear {
    /// Has to-device messages deleted that a device has received.
    fn acknowledge(&self, device_id: OwnedDeviceId, until: ToDeviceIndex);
}

/// What a feed holds of the world around it.
pub(crate) struct Home {
    pub(crate) user_id: OwnedUserId,
    pub(crate) env: Env,
    pub(crate) board: Arc<dyn Board>,
    pub(crate) sources: Arc<dyn Sources>,
    pub(crate) owner: Arc<dyn Owner>,
}

impl Home {
    /// Sends a signal to the own actor.
    pub(crate) fn tell(&self, signal: UserSignal) {
        self.owner.hear(signal);
    }
}

/// What hears on behalf of the actor; kept apart from [`Owner`] so that the board sees only the ear.
pub(crate) struct OwnEar(pub(crate) Arc<dyn Owner>);

impl Ear for OwnEar {
    fn hear(&self, signal: UserSignal) -> bool {
        self.0.hear(signal)
    }
}
