//! What brings pushes and mails over, for the actors.

use std::sync::{Arc, OnceLock, Weak};

use futures_util::future::BoxFuture;
use playhouse_actors::pushers::{
    Digest, MailSettings, Postman, Push, PushSettings, PushTaken, PushTrouble,
};

use super::{Trust, gateways::Gateways};
use crate::{client::push::mails, config::Config, edge::App};

/// See the module's documentation.
pub(crate) struct HousePostman {
    gateways: Arc<Gateways>,
    mails: bool,
    /// Who writes mails, once there is somebody.
    app: OnceLock<Weak<App>>,
}

impl HousePostman {
    /// As configured.
    pub(crate) fn new(config: &Config, trust: &Arc<Trust>) -> Arc<Self> {
        Arc::new(Self {
            gateways: Arc::new(Gateways::new(config, trust)),
            mails: config.push.mails && config.email.host.is_some(),
            app: OnceLock::new(),
        })
    }

    /// From now on mails are written.
    pub(crate) fn serve(&self, app: &Arc<App>) {
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// How users are pushed to.
    pub(crate) fn settings(self: &Arc<Self>, config: &Config) -> PushSettings {
        let push = &config.push;
        PushSettings {
            enabled: push.enabled,
            include_content: push.include_content,
            group_unread_count_by_room: push.group_unread_count_by_room,
            jitter_ms: push.jitter_ms,
            retry_wait_ms: push.retry_wait_ms,
            retry_wait_max_ms: push.retry_wait_max_ms,
            give_up_ms: push.give_up_ms,
            requests_max: push.requests_max as usize,
            mails: MailSettings {
                delay_ms: push.mail_delay_ms,
                throttle_ms: push.mail_throttle_ms,
                throttle_max_ms: push.mail_throttle_max_ms,
                throttle_reset_ms: push.mail_throttle_reset_ms,
                ..MailSettings::default()
            },
            ..PushSettings::new(self.clone())
        }
    }
}

impl Postman for HousePostman {
    fn push(&self, push: Push) -> BoxFuture<'static, Result<PushTaken, PushTrouble>> {
        let gateways = self.gateways.clone();
        Box::pin(async move { gateways.push(push).await })
    }

    fn mail(&self, digest: Digest) -> BoxFuture<'static, Result<(), PushTrouble>> {
        let app = self.app.get().and_then(Weak::upgrade);
        Box::pin(async move {
            match app {
                Some(app) => mails::mail(&app, &digest).await,
                None => Err(PushTrouble {
                    reason: "the server is starting".to_owned(),
                    retry_after_ms: None,
                }),
            }
        })
    }

    fn mails(&self) -> bool {
        self.mails
    }
}
