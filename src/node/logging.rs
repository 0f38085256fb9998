//! Logs: text or JSON on standard error, with a level that can be changed while the server runs. And spans, where somebody collects them.

use std::{io::IsTerminal as _, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, FilterFn},
    layer::SubscriberExt as _,
    reload,
    util::SubscriberInitExt as _,
};

use super::{install_crypto, spans};
use crate::config::{Config, Log};

/// The last spans have so long to get to the collector.
const LAST_SPANS_WITHIN: Duration = Duration::from_secs(5);

/// Changes the level, and brings the last spans over.
pub struct LogHandle {
    level: reload::Handle<EnvFilter, Registry>,
    spans: Option<SdkTracerProvider>,
}

impl LogHandle {
    /// Starts logging for the whole process. None when something else logs already.
    pub fn install(config: &Log) -> Option<Self> {
        let (filter, handle) = reload::Layer::new(filter(&config.level));
        let registry = tracing_subscriber::registry().with(filter).with(mute());
        let output = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let installed = if config.format == "json" {
            registry.with(output.json()).try_init()
        } else {
            registry.with(output).try_init()
        };
        installed.ok().map(|()| Self {
            level: handle,
            spans: None,
        })
    }

    /// The same, and spans go to the collector if there is one. Without it they are not even made.
    pub fn install_traced(config: &Config) -> Option<Self> {
        install_crypto();
        match spans::open(config) {
            Ok(None) => Self::install(&config.log),
            Ok(Some(provider)) => Self::install_both(&config.log, provider),
            Err(error) => {
                let log = Self::install(&config.log);
                tracing::error!(error, "spans are not collected");
                log
            }
        }
    }

    /// What is logged says nothing about which spans there are: each has a filter of its own.
    fn install_both(config: &Log, provider: SdkTracerProvider) -> Option<Self> {
        let (filter, handle) = reload::Layer::new(filter(&config.level));
        let output = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let output: Box<dyn Layer<Registry> + Send + Sync> = if config.format == "json" {
            output.json().boxed()
        } else {
            output.boxed()
        };
        let collected = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("playhouse"))
            .with_location(false)
            .with_threads(false)
            .with_target(false);
        let registry = tracing_subscriber::registry()
            .with(output.with_filter(filter.and(mute())))
            .with(collected.with_filter(FilterFn::new(is_for_collector)));
        registry.try_init().ok().map(|()| Self {
            level: handle,
            spans: Some(provider),
        })
    }

    /// Brings over what spans there still are.
    pub(super) async fn close(self) {
        let Some(spans) = self.spans else {
            return;
        };
        let closing =
            tokio::task::spawn_blocking(move || spans.shutdown_with_timeout(LAST_SPANS_WITHIN));
        if let Ok(Err(error)) = closing.await {
            tracing::debug!(%error, "the last spans are lost");
        }
    }

    /// Sets another level or filter; one that makes no sense changes nothing.
    pub fn set_level(&self, level: &str) {
        if let Err(error) = self.level.reload(filter(level)) {
            tracing::error!(%error, "log level stays as it is");
        } else {
            tracing::info!(level, "log level set");
        }
    }
}

/// Our own spans; what is logged may hold what is nobody else's business.
fn is_for_collector(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= Level::INFO
        && metadata.target().starts_with("playhouse")
}

/// Libraries that tell at `info` what only their own developers ask about: threads of the HTTP server, each step of each auth rule, each actor's span. And what
/// reads HTTP/1 tells as an error that a client has broken off or garbled its request's body: anybody can make it do so, and there is nothing to mend here.
const QUIET: &str = "actix_server=warn,ruma_state_res=warn,ractor=warn,actix_http::h1::dispatcher=off,playhouse_spans=off";

fn filter(level: &str) -> EnvFilter {
    // The configuration was checked; a reload may bring nonsense, which then means the default. What the operator says about a library comes later and wins.
    EnvFilter::try_new(format!("{QUIET},{level}"))
        .unwrap_or_else(|_| EnvFilter::new(format!("{QUIET},info")))
}

/// At `debug` it tells all that nodes say to each other, secrets among it. A filter's word could be overruled by a narrower one, so this stands beside it.
fn mute() -> FilterFn {
    FilterFn::new(is_for_logs)
}

fn is_for_logs(metadata: &Metadata<'_>) -> bool {
    *metadata.level() == Level::ERROR || !metadata.target().starts_with("ractor_cluster")
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Who logs first decides for the whole process what of a line is remembered: two at once could each overwrite what the other wants.
    static ALONE: Mutex<()> = Mutex::new(());

    fn told(level: &str) -> String {
        let _alone = ALONE.lock();
        let paper = Paper::default();
        let writer = paper.clone();
        let output = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(filter(level))
            .with(mute())
            .with(output);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error");
            tracing::error!("something of ours");
            let _span = tracing::info_span!("a_span").entered();
            tracing::debug!(target: "ractor_cluster::net::session", "a secret");
        });
        let bytes = paper.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_clients_break_is_told_only_to_those_who_ask() {
        let by_default = told("info");
        assert!(by_default.contains("something of ours"), "{by_default}");
        assert!(!by_default.contains("stream error"), "{by_default}");
        let asked = told("info,actix_http::h1::dispatcher=error");
        assert!(asked.contains("stream error"), "{asked}");
    }

    #[test]
    fn what_nodes_say_to_each_other_is_never_told() {
        for level in [
            "trace",
            "ractor_cluster=debug",
            "ractor_cluster::net=trace",
            "[a_span]=trace",
        ] {
            let told = told(level);
            assert!(!told.contains("a secret"), "{told}");
        }
    }
}
