//! The apps of the configuration, ready to be served.

use std::{sync::Arc, time::Instant};

use playhouse_actors::{
    env::{Env, JsonObject},
    gateway::{Push, Verdict, device_digest, digest_of},
    trace::HOPS,
};
use tokio::sync::Semaphore;
use tracing::Span;

use super::{
    answer::Delivery,
    apns::Apns,
    fcm::Fcm,
    glob::matches,
    notification::{Device, Notice},
    webpush::WebPush,
    wire::Wire,
};
use crate::{
    config::{Config, PushApp, PushKind},
    outbound::Trust,
};

/// A notification for a browser that is off is kept for so many seconds.
const WEBPUSH_TTL_S: u64 = 900;

/// A phone that rings after this time rings for nobody.
const VOIP_TTL_S: u64 = 30;

/// All apps.
pub(super) struct Apps {
    apps: Vec<App>,
    /// How long notifications are tried, seconds: usually, and those of low priority.
    ttl_s: (u64, u64),
}

/// One app.
pub(super) struct App {
    id: String,
    event_id_only: bool,
    ttl_s: Option<u64>,
    permits: Semaphore,
    provider: Provider,
}

enum Provider {
    Apns(Apns),
    Fcm(Fcm),
    WebPush(WebPush),
}

impl Apps {
    /// Reads keys and certificates. `Err` names the app and what is wrong with it.
    pub(super) fn open(config: &Config, trust: &Arc<Trust>) -> Result<Self, String> {
        let gateway = &config.push_gateway;
        let wire = Wire::new(config, trust);
        let apps = gateway.apps.iter().map(|app| {
            App::open(app, &wire)
                .map_err(|error| format!("[push_gateway] apps: {}: {error}", app.id))
        });
        Ok(Self {
            apps: apps.collect::<Result<_, _>>()?,
            ttl_s: (gateway.ttl_s, gateway.ttl_low_s),
        })
    }

    /// The app with an ID: the one of that very name, or else the only one whose pattern fits.
    pub(super) fn find(&self, app_id: &str) -> Option<&App> {
        if let Some(app) = self.apps.iter().find(|app| app.id == app_id) {
            return Some(app);
        }
        let mut fitting = self.apps.iter().filter(|app| matches(&app.id, app_id));
        let first = fitting.next()?;
        if let Some(second) = fitting.next() {
            tracing::warn!(
                first = first.id,
                second = second.id,
                "an app ID fits two apps: notifications for it are refused"
            );
            return None;
        }
        Some(first)
    }

    /// How long a notification is tried.
    pub(super) fn ttl_ms(&self, app: &App, notice: &Notice) -> u64 {
        let usual = if notice.is_low() {
            self.ttl_s.1
        } else {
            self.ttl_s.0
        };
        let ttl_ms = app.ttl_s.unwrap_or(usual).saturating_mul(1_000);
        notice
            .rings_ms()
            .map_or(ttl_ms, |rings_ms| ttl_ms.min(rings_ms))
    }
}

impl App {
    fn open(app: &PushApp, wire: &Wire) -> Result<Self, String> {
        let is_voip = app.push_type.as_deref() == Some("voip");
        let own_ttl_s = match app.kind {
            PushKind::Webpush => Some(WEBPUSH_TTL_S),
            PushKind::Apns if is_voip => Some(VOIP_TTL_S),
            _ => None,
        };
        Ok(Self {
            id: app.id.clone(),
            event_id_only: app.event_id_only,
            ttl_s: app.ttl_s.or(own_ttl_s),
            permits: Semaphore::new(app.requests_max as usize),
            provider: match app.kind {
                PushKind::Apns => Provider::Apns(Apns::open(app, wire)?),
                PushKind::Fcm => Provider::Fcm(Fcm::open(app, wire)?),
                PushKind::Webpush => Provider::WebPush(WebPush::open(app, wire)?),
            },
        })
    }

    /// Whether nothing but IDs and counts leaves this server.
    pub(super) fn is_for_ids_only(&self) -> bool {
        self.event_id_only
    }

    /// What a device is called here. A push service is part of it: what a stranger's says of a pushkey is not said of the pushkey elsewhere.
    pub(super) fn device_digest(&self, device: &Device) -> String {
        let (app_id, pushkey) = (device.app_id.as_str(), device.pushkey.as_str());
        match (&self.provider, device.endpoint()) {
            (Provider::WebPush(_), Some(endpoint)) => digest_of(&[app_id, pushkey, endpoint]),
            _ => device_digest(app_id, pushkey),
        }
    }

    /// Tries to pass on a notification, once.
    pub(super) async fn deliver(&self, push: &Push, env: &Env) -> Verdict {
        // A semaphore that is never closed always gives.
        let _permit = self.permits.acquire().await;
        let accepted = &push.accepted;
        let (Ok(notice), Ok(data)) = (
            serde_json::from_str::<Notice>(&accepted.notification),
            serde_json::from_str::<JsonObject>(&accepted.data),
        ) else {
            return Verdict::Refused("unreadable".to_owned());
        };
        let now_ms = env.now_ms();
        if accepted.expires_ms <= now_ms {
            // The outbox sees for itself that its time is over.
            return Verdict::Later {
                after_ms: None,
                reason: "expired".to_owned(),
            };
        }
        let delivery = Delivery {
            push,
            notice,
            data,
            now_ms,
        };
        tracing::debug!(target: HOPS, hop = "attempt", "a provider is asked");
        let begun = Instant::now();
        let verdict = match &self.provider {
            Provider::Apns(apns) => apns.deliver(&delivery).await,
            Provider::Fcm(fcm) => fcm.deliver(&delivery).await,
            Provider::WebPush(webpush) => webpush.deliver(&delivery, env).await,
        };
        self.count(&verdict, begun);
        verdict
    }

    fn count(&self, verdict: &Verdict, begun: Instant) {
        let provider = self.provider.name();
        let (outcome, reason) = match verdict {
            Verdict::Delivered => ("delivered", ""),
            Verdict::Rejected(reason) | Verdict::Unusable(reason) => ("rejected", reason.as_str()),
            Verdict::Refused(reason) => ("refused", reason.as_str()),
            Verdict::Needless => ("needless", ""),
            Verdict::Later { reason, .. } => ("later", reason.as_str()),
        };
        metrics::counter!("playhouse_push_attempts_total", "provider" => provider, "outcome" => outcome).increment(1);
        metrics::histogram!("playhouse_push_attempt_seconds", "provider" => provider)
            .record(begun.elapsed().as_secs_f64());
        if matches!(verdict, Verdict::Rejected(_) | Verdict::Unusable(_)) {
            let reason = known(reason);
            metrics::counter!("playhouse_push_rejected_total", "provider" => provider, "reason" => reason).increment(1);
        }
        let span = Span::current();
        span.record("provider", provider);
        span.record("outcome", outcome);
        span.record("reason", reason);
        tracing::debug!(target: HOPS, hop = "verdict", app = self.id, provider, outcome, reason, "attempt");
    }
}

impl Provider {
    fn name(&self) -> &'static str {
        match self {
            Provider::Apns(_) => "apns",
            Provider::Fcm(_) => "fcm",
            Provider::WebPush(_) => "webpush",
        }
    }
}

/// Reasons that are counted by name: a provider's new words must not make new figures without end.
fn known(reason: &str) -> &'static str {
    const KNOWN: [&str; 10] = [
        "Unregistered",
        "ExpiredToken",
        "BadDeviceToken",
        "DeviceTokenNotForTopic",
        "UNREGISTERED",
        "SENDER_ID_MISMATCH",
        "INVALID_ARGUMENT",
        "Gone",
        "BadSubscription",
        "BadDefaultPayload",
    ];
    let found = KNOWN.iter().find(|known| **known == reason);
    found.copied().unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webpush(id: &str, key: &str) -> PushApp {
        PushApp {
            vapid_private_key: Some(key.to_owned()),
            vapid_contact: Some("a@b.c".to_owned()),
            ..PushApp::new(id, PushKind::Webpush)
        }
    }

    fn apps(ids: &[&str]) -> Apps {
        crate::node::install_crypto();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vapid.pem");
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(&path, key.serialize_pem()).unwrap();
        let path = path.to_string_lossy().into_owned();
        let mut config = Config::default();
        config.push_gateway.apps = ids.iter().map(|id| webpush(id, &path)).collect();
        Apps::open(&config, &Arc::default()).unwrap()
    }

    #[test]
    fn names_go_before_patterns() {
        let apps = apps(&["im.example.*", "im.example.app", "org.*", "org.example.*"]);
        let found = |app_id: &str| apps.find(app_id).map(|app| app.id.clone());
        assert_eq!(found("im.example.app").as_deref(), Some("im.example.app"));
        assert_eq!(found("im.example.beta").as_deref(), Some("im.example.*"));
        assert_eq!(found("org.other").as_deref(), Some("org.*"));
        assert_eq!(found("org.example.app"), None, "ambiguous");
        assert_eq!(found("com.example"), None);
    }

    #[test]
    fn a_strangers_push_service_speaks_of_nobody_elses_device() {
        let apps = apps(&["a"]);
        let digest = |endpoint: &str| {
            let device = serde_json::json!({
                "app_id": "a", "pushkey": "k", "data": { "endpoint": endpoint },
            });
            let device: Device = serde_json::from_value(device).unwrap();
            apps.find("a").unwrap().device_digest(&device)
        };
        let own = digest("https://push.example/x");
        assert_eq!(digest("https://push.example/x"), own);
        assert_ne!(digest("https://evil.example/x"), own);
    }

    #[test]
    fn times_to_live() {
        let apps = apps(&["a"]);
        let app = apps.find("a").unwrap();
        assert_eq!(apps.ttl_ms(app, &Notice::default()), 900_000);
        let call = Notice {
            event_type: Some("m.call.invite".to_owned()),
            content: serde_json::json!({ "lifetime": 60_000 })
                .as_object()
                .cloned(),
            ..Notice::default()
        };
        assert_eq!(apps.ttl_ms(app, &call), 60_000);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        crate::node::install_crypto();
        let mut config = Config::default();
        config.push_gateway.apps = vec![webpush("a", "/nowhere.pem")];
        let error = Apps::open(&config, &Arc::default()).err().unwrap();
        assert!(error.contains("a: /nowhere.pem"), "{error}");
    }

    #[test]
    fn reasons_do_not_grow_without_end() {
        assert_eq!(known("Unregistered"), "Unregistered");
        assert_eq!(known("x1"), "other");
    }
}
