//! What every handler is handed: the configuration, the house, the limiter.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use playhouse_actors::{env::Env, house::House};

use super::{caller::Bridge, limits::Limiter, uiaa::Interactive};
use crate::{
    config::{Config, check::Network},
    media::{Blobs, Thumbnails},
};

/// One node's edge.
pub(crate) struct App {
    /// What the operator set.
    pub(crate) config: Arc<Config>,
    /// Rooms, users and everything they do.
    pub(crate) house: Arc<House>,
    /// Rates.
    pub(crate) limiter: Limiter,
    /// User-interactive authentication.
    pub(crate) interactive: Interactive,
    /// Media files.
    pub(crate) blobs: Blobs,
    /// Thumbnails of them.
    pub(crate) thumbnails: Thumbnails,
    /// Nonces of registration by shared secret, and until when each is good.
    pub(crate) nonces: Mutex<VecDeque<(String, u64)>>,
    /// The Prometheus text, or nothing when no recorder is installed.
    pub(crate) metrics: fn() -> String,
    /// Proxies whose word on addresses is believed.
    pub(super) proxies: Vec<Network>,
}

impl App {
    /// An edge over a house.
    pub(crate) fn new(config: Arc<Config>, house: Arc<House>, metrics: fn() -> String) -> Self {
        let media = &config.media;
        let folder = config.in_data_dir(&media.dir);
        let blobs = Blobs::open(folder.clone(), media.upload_bytes_max);
        Self {
            limiter: Limiter::new(&config.limits),
            interactive: Interactive::new(house.env().clone()),
            thumbnails: Thumbnails::new(blobs.clone(), folder.join("thumbnails")),
            blobs,
            nonces: Mutex::default(),
            proxies: config
                .listen
                .trusted_proxies
                .iter()
                .filter_map(|proxy| Network::parse(proxy))
                .collect(),
            metrics,
            house,
            config,
        }
    }

    /// Clock and randomness.
    pub(crate) fn env(&self) -> &Env {
        self.house.env()
    }

    /// The application service with this token. None is registered yet.
    pub(crate) fn bridge(&self, _token: &str) -> Option<Arc<Bridge>> {
        None
    }
}
