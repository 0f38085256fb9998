//! Looks now and then for media that nobody has used for long, and drops it; and for content that a removal has left aside.

use std::{sync::Arc, time::Duration};

use playhouse_actors::cluster::roles;
use playhouse_schema::models::media_lists::UnusedMedia;
use tokio::task::JoinHandle;

use super::removal;
use crate::edge::{App, Failure};

/// So many pieces are dropped before it pauses.
const STEP: usize = 100;

/// The pause, so that nobody notices.
const PAUSE: Duration = Duration::from_millis(200);

/// Its name among what one node at a time does.
const DUTY: &str = "unused media";

/// How often it is looked for what removals have left aside, and its name among the duties.
const ASIDE_EVERY: Duration = Duration::from_secs(120);
const ASIDE_DUTY: &str = "content aside";

/// Starts it; `None` when everything is kept for ever. It may be cut off anywhere.
pub(crate) fn start(app: &Arc<App>) -> Option<JoinHandle<()>> {
    let settings = &app.config.media;
    let every = Duration::from_millis(settings.sweep_every_ms.max(1));
    let wanted = settings.remote_lifetime_ms > 0 || settings.local_lifetime_ms > 0;
    let app = app.clone();
    wanted.then(|| {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if app.house.does(DUTY, roles::MEDIA)
                    && let Err(failure) = sweep(&app).await
                {
                    let reason = failure.inside().unwrap_or_else(|| failure.message());
                    tracing::warn!(reason, "cannot drop unused media, will try again");
                }
            }
        })
    })
}

/// Settles what removals have left aside, at the start and now and then. It may be cut off anywhere.
pub(crate) fn start_settling(app: &Arc<App>) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        loop {
            if app.house.does(ASIDE_DUTY, roles::MEDIA)
                && let Err(failure) = removal::settle_all(&app).await
            {
                let reason = failure.inside().unwrap_or_else(|| failure.message());
                tracing::warn!(
                    reason,
                    "cannot settle what removals left aside, will try again"
                );
            }
            tokio::time::sleep(ASIDE_EVERY).await;
        }
    })
}

async fn sweep(app: &App) -> Result<(), Failure> {
    let settings = &app.config.media;
    for (remote, lifetime_ms) in [
        (true, settings.remote_lifetime_ms),
        (false, settings.local_lifetime_ms),
    ] {
        if lifetime_ms == 0 {
            continue;
        }
        let which = UnusedMedia {
            remote,
            before_ms: app.env().now_ms().saturating_sub(lifetime_ms),
            size_bytes_over: 0,
            keep_faces_of: (!remote).then(|| app.house.media_uri_beginning()),
        };
        let mut count = 0;
        loop {
            let removed = removal::remove_unused(app, &which, "", STEP).await?;
            count += removed.len();
            if removed.len() < STEP {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        if count > 0 {
            tracing::info!(remote, count, "unused media dropped");
        }
    }
    Ok(())
}
