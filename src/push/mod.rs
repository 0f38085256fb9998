//! The push gateway: homeservers post notifications here, and it passes them on to Apple, Google and browsers.
//!
//! Owns how providers are spoken to, what devices are told, and what a provider's answer means. Must not know users or rooms: any homeserver may come. What was
//! accepted waits in the outboxes of [`playhouse_actors::gateway`], which decide when it is tried.

mod answer;
mod apns;
mod apps;
mod courier;
mod ec_key;
mod fcm;
mod glob;
pub(crate) mod import;
mod lean;
mod notification;
mod notify;
mod retry;
pub(crate) mod server;
mod webpush;
mod wire;

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use playhouse_actors::{env::Env, gateway::digest_of, house::GatewayOffice};
use tokio::sync::Semaphore;

use self::{apps::Apps, courier::Courier, notification::Notice};
use crate::{config::Config, outbound::Trust};

/// What the operator allows homeservers.
#[derive(Clone, Copy)]
struct Bounds {
    answer_within: Duration,
    body_bytes_max: usize,
    devices_max: usize,
    /// Figures have a listener of their own.
    has_metrics_listener: bool,
}

impl Bounds {
    fn of(config: &Config) -> Self {
        let gateway = &config.push_gateway;
        Self {
            answer_within: Duration::from_millis(gateway.answer_within_ms),
            body_bytes_max: gateway.body_bytes_max as usize,
            devices_max: gateway.devices_max as usize,
            has_metrics_listener: gateway.metrics.is_some(),
        }
    }
}

/// A push gateway.
pub(crate) struct Gateway {
    env: Env,
    office: Arc<GatewayOffice>,
    courier: Arc<Courier>,
    trust: Arc<Trust>,
    bounds: RwLock<Bounds>,
    /// Requests of homeservers that may be answered now.
    requests: Semaphore,
    /// The Prometheus text.
    metrics: fn() -> String,
}

impl Gateway {
    /// As configured, over outboxes which from now on are emptied.
    pub(crate) fn open(
        config: &Config,
        (env, office): (&Env, &Arc<GatewayOffice>),
        (trust, metrics): (&Arc<Trust>, fn() -> String),
    ) -> Result<Arc<Self>, String> {
        let apps = Apps::open(config, trust)?;
        let courier = Arc::new(Courier::new(env, apps));
        office.begin(courier.clone());
        Ok(Arc::new(Self {
            env: env.clone(),
            office: office.clone(),
            courier,
            trust: trust.clone(),
            bounds: RwLock::new(Bounds::of(config)),
            requests: Semaphore::new(config.push_gateway.requests_max as usize),
            metrics,
        }))
    }

    /// Goes on with other apps and bounds. What cannot be used stays as it is.
    pub(crate) fn reload(&self, config: &Config) {
        match Apps::open(config, &self.trust) {
            Ok(apps) => {
                self.courier.exchange(apps);
                *self.bounds.write() = Bounds::of(config);
                tracing::info!("apps of the push gateway read again");
            }
            Err(error) => tracing::error!(error, "the push gateway's apps stay as they are"),
        }
    }

    /// Begins no more attempts, and waits for those on their way. What waits is kept.
    pub(crate) async fn drain(&self, within: Duration) {
        self.courier.close();
        self.office.drained(within).await;
    }

    fn bounds(&self) -> Bounds {
        *self.bounds.read()
    }

    /// How much waits, and how long already.
    pub(crate) fn note_figures(&self) {
        let backlog = self.office.backlog();
        let oldest_ms = backlog.oldest_ms.unwrap_or(u64::MAX);
        let age_ms = self.env.now_ms().saturating_sub(oldest_ms);
        metrics::gauge!("playhouse_push_waiting").set(backlog.waiting as f64);
        metrics::gauge!("playhouse_push_oldest_seconds").set(age_ms as f64 / 1_000.0);
    }

    /// The figures.
    fn figures(&self) -> String {
        self.note_figures();
        (self.metrics)()
    }
}

/// By this a provider, or a device, replaces what it has of the same room. Counts alone replace nothing.
fn collapse_id(notice: &Notice) -> Option<String> {
    let room_id = notice.room_id.as_deref()?;
    notice.event_id.as_ref()?;
    Some(digest_of(&[room_id]))
}
