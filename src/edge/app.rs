//! What every handler is handed: the configuration, the house, the limiter.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_actors::user::{UserError, message};

use super::{caller::Bridge, limits::Limiter, seen::Seen};
use crate::config::{Config, check::Network};

/// One node's edge.
pub(crate) struct App {
    /// What the operator set.
    pub(crate) config: Arc<Config>,
    /// Who tokens belong to.
    pub(crate) sessions: Arc<dyn Sessions>,
    /// Rates.
    pub(crate) limiter: Limiter,
    /// When devices were last seen.
    pub(crate) seen: Seen,
    /// Proxies whose word on addresses is believed.
    pub(super) proxies: Vec<Network>,
}

/// Who tokens belong to.
pub(crate) trait Sessions: Send + Sync + 'static {
    /// The session of an access token.
    fn authenticate<'a>(
        &'a self,
        access_token: &'a str,
    ) -> BoxFuture<'a, Result<message::Session, UserError>>;
}

impl App {
    /// An edge over a house.
    pub(crate) fn new(config: Arc<Config>, sessions: Arc<dyn Sessions>) -> Self {
        Self {
            limiter: Limiter::new(&config.limits),
            proxies: config
                .listen
                .trusted_proxies
                .iter()
                .filter_map(|proxy| Network::parse(proxy))
                .collect(),
            seen: Seen::new(),
            sessions,
            config,
        }
    }

    /// The application service with this token. None is registered yet.
    pub(crate) fn bridge(&self, _token: &str) -> Option<Arc<Bridge>> {
        None
    }
}
