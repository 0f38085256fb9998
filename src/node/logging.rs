//! Logs: text or JSON on standard error, with a level that can be changed while the server runs.

use std::io::IsTerminal as _;

use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::config::Log;

/// Changes the level.
pub struct LogHandle(reload::Handle<EnvFilter, Registry>);

impl LogHandle {
    /// Starts logging for the whole process. None when something else logs already.
    pub fn install(config: &Log) -> Option<Self> {
        let (filter, handle) = reload::Layer::new(filter(&config.level));
        let registry = tracing_subscriber::registry().with(filter);
        let output = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let installed = if config.format == "json" {
            registry.with(output.json()).try_init()
        } else {
            registry.with(output).try_init()
        };
        installed.ok().map(|()| Self(handle))
    }

    /// Sets another level or filter; one that makes no sense changes nothing.
    pub fn set_level(&self, level: &str) {
        if let Err(error) = self.0.reload(filter(level)) {
            tracing::error!(%error, "log level stays as it is");
        } else {
            tracing::info!(level, "log level set");
        }
    }
}

/// Libraries that tell at `info` what only their own developers ask about: threads of the HTTP server, each step of each auth rule, each actor's span.
const QUIET: &str = "actix_server=warn,ruma_state_res=warn,ractor=warn";

fn filter(level: &str) -> EnvFilter {
    // The configuration was checked; a reload may bring nonsense, which then means the default. What the operator says about a library comes later and wins.
    EnvFilter::try_new(format!("{QUIET},{level}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")))
}
