//! Carries what waits in the outboxes to the providers.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use playhouse_actors::{
    env::Env,
    gateway::{Carrier, Push, Verdict},
};

use super::apps::Apps;

/// The way to the providers.
pub(super) struct Courier {
    env: Env,
    apps: RwLock<Arc<Apps>>,
    is_open: AtomicBool,
}

impl Courier {
    pub(super) fn new(env: &Env, apps: Apps) -> Self {
        Self {
            env: env.clone(),
            apps: RwLock::new(Arc::new(apps)),
            is_open: AtomicBool::new(true),
        }
    }

    /// The apps as they are now.
    pub(super) fn apps(&self) -> Arc<Apps> {
        self.apps.read().clone()
    }

    /// Goes on with other apps. What is on its way ends as it began.
    pub(super) fn exchange(&self, apps: Apps) {
        *self.apps.write() = Arc::new(apps);
    }

    /// No attempt begins any more.
    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
    }
}

impl Carrier for Courier {
    fn carry(&self, push: Arc<Push>) -> BoxFuture<'static, Verdict> {
        let (apps, env) = (self.apps(), self.env.clone());
        Box::pin(async move {
            match apps.find(&push.accepted.app_id) {
                Some(app) => app.deliver(&push, &env).await,
                // Somebody has taken it out of the configuration, perhaps by mistake.
                None => Verdict::Later {
                    after_ms: None,
                    reason: "unknown_app".to_owned(),
                },
            }
        })
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }
}
