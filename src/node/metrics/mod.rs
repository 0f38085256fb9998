//! The process's metrics recorder, and figures that nobody counts by the way.

mod documented;
mod process;
mod watch;

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub(super) use self::watch::{Watched, watch};

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Buckets of all durations, seconds.
const SECONDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Buckets of all sizes of batches.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// What is counted in [`COUNTS`] though its name does not say so.
const COUNTED: &str = "playhouse_room_forward_extremities";

/// Histograms keep every value until they are drained.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Installs the recorder, once for the process.
pub(super) fn install() {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), COUNTS)
            })
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(COUNTED.to_owned()), COUNTS)
            });
        let recorder = builder.ok()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        documented::describe();
        metrics::gauge!("playhouse_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Some(handle)
    });
}

/// The figures as Prometheus reads them.
pub(super) fn render() -> String {
    let counted = handle().map_or_else(String::new, PrometheusHandle::render);
    counted + &process::render()
}

/// Drains the histograms for ever.
pub(super) async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP_EVERY).await;
        if let Some(handle) = handle() {
            handle.run_upkeep();
        }
    }
}

fn handle() -> Option<&'static PrometheusHandle> {
    RECORDER.get().and_then(Option::as_ref)
}
