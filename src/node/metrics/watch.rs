//! Looks every few seconds at what nobody counts by the way.

use std::{path::PathBuf, sync::Arc, time::Duration};

use playhouse_actors::house::Figures;

use crate::{edge::App, push::Gateway};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(5);

/// The database is asked each so many times …
const STORED_EVERY: u64 = 3;

/// … and how large it is.
const SIZE_EVERY: u64 = 60;

/// What it looks at.
pub(in crate::node) struct Watched {
    /// The folder whose disk it is.
    pub(in crate::node) data: PathBuf,
    /// The edge, with the house behind it.
    pub(in crate::node) app: Option<Arc<App>>,
    /// The push gateway.
    pub(in crate::node) gateway: Option<Arc<Gateway>>,
}

/// Looks for ever.
pub(in crate::node) async fn watch(watched: Watched) {
    let mut figures = Figures::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0_u64.. {
        ticks.tick().await;
        note_disk(watched.data.clone()).await;
        if let Some(gateway) = &watched.gateway {
            gateway.note_figures();
        }
        let Some(app) = &watched.app else {
            continue;
        };
        metrics::gauge!("playhouse_initial_syncs").set(app.initial_syncs.taken() as f64);
        figures.note(&app.house);
        if turn.is_multiple_of(STORED_EVERY) {
            figures.note_parked(&app.house).await;
        }
        if turn.is_multiple_of(SIZE_EVERY) {
            figures.note_size(&app.house).await;
        }
    }
}

/// A disk that does not answer must not hold up anything else.
async fn note_disk(folder: PathBuf) {
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder)).await;
    if let Ok(Ok(told)) = asked {
        let bytes = |blocks: u64| (blocks as f64) * (told.f_frsize as f64);
        metrics::gauge!("playhouse_disk_size_bytes").set(bytes(told.f_blocks));
        metrics::gauge!("playhouse_disk_free_bytes").set(bytes(told.f_bavail));
    }
}
