//! Devices that nobody has used for long are removed, little by little. What a sweep did not come to, the next one finds again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use playhouse_schema::{
    address::Entity,
    models::device_sightings::{Unseen, unseen},
    port::{LogStore, StoreError},
};
use ruma::UserId;

use crate::{
    env::Env,
    followers::task::{Running, Stop},
    kernel::Directory,
    user::{User, UserCommand, UserError, message::AdminDecision},
};

/// So many devices are looked up at once.
const PAGE_DEVICES: usize = 100;

/// The pause after each page, so that nobody notices.
const PAUSE: Duration = Duration::from_millis(20);

/// Which devices are removed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleDeviceSettings {
    /// Not seen for so long, milliseconds; `None`: they all stay.
    pub after_ms: Option<u64>,
    /// They are looked for so often, milliseconds.
    pub sweep_every_ms: u64,
}

impl Default for StaleDeviceSettings {
    fn default() -> Self {
        Self {
            after_ms: None,
            sweep_every_ms: 3_600_000,
        }
    }
}

/// What looks for them.
#[derive(Clone)]
pub(super) struct StaleDevices {
    pub(super) users: Arc<Directory<User>>,
    pub(super) store: Arc<dyn LogStore>,
    pub(super) env: Env,
    pub(super) settings: StaleDeviceSettings,
}

impl StaleDevices {
    /// Starts it; `None` when all devices stay.
    pub(super) fn start(self) -> Option<Running> {
        let after_ms = self.settings.after_ms?;
        Some(Running::start(move |stop| {
            Box::pin(async move {
                self.run(after_ms, stop).await;
            })
        }))
    }

    async fn run(self, after_ms: u64, mut stop: Stop) {
        let every = Duration::from_millis(self.settings.sweep_every_ms.max(1));
        while stop.pause(every).await {
            let since_ms = self.env.now_ms().saturating_sub(after_ms);
            if let Err(error) = self.sweep(since_ms, &mut stop).await {
                tracing::warn!(%error, "cannot look for stale devices, will try again");
            }
        }
    }

    /// Goes once through all devices that were not seen since a time.
    async fn sweep(&self, since_ms: u64, stop: &mut Stop) -> Result<(), StoreError> {
        let models = self.store.models();
        let mut after = (String::new(), String::new());
        loop {
            let place = (after.0.as_str(), after.1.as_str());
            let page = unseen(&*models, since_ms, place, PAGE_DEVICES).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = (last.user_id.clone(), last.device_id.clone());
            for (user_id, suspected) in by_user(page) {
                self.remove(&user_id, suspected, since_ms).await;
            }
            if !stop.pause(PAUSE).await {
                return Ok(());
            }
        }
    }

    /// The user decides: a device may have been seen since.
    async fn remove(&self, user_id: &str, suspected: Vec<(String, u64)>, since_ms: u64) {
        if UserId::parse(user_id).is_err() {
            return;
        }
        let decision = AdminDecision::RemoveStaleDevices {
            suspected,
            since_ms,
        };
        let command = UserCommand::Administer(decision);
        match self.users.command(Entity::user(user_id), command).await {
            Ok(_) | Err(UserError::UnknownUser | UserError::Deactivated) => {}
            // One user's trouble does not keep the others' devices.
            Err(error) => tracing::warn!(user_id, %error, "cannot remove stale devices"),
        }
    }
}

fn by_user(page: Vec<Unseen>) -> BTreeMap<String, Vec<(String, u64)>> {
    let mut users: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for device in page {
        let suspected = users.entry(device.user_id).or_default();
        suspected.push((device.device_id, device.seen_ms));
    }
    users
}
