//! How much a user may upload: in all, in a time, and how many addresses may wait for their content.

use ruma::{UserId, api::error::ErrorCode};

use crate::{
    config::UploadLimit,
    edge::{App, Failure},
};

/// Who has too many addresses waiting may ask again after so long.
const AWAITED_RETRY_MS: u64 = 60_000;

/// Refuses an upload of so many bytes when the user has used up what is allowed.
pub(super) async fn check(app: &App, user_id: &UserId, size: u64) -> Result<(), Failure> {
    let media = &app.config.media;
    let whole = (media.quota_bytes_per_user > 0).then_some(UploadLimit {
        period_seconds: None,
        bytes_max: media.quota_bytes_per_user,
        info_uri: None,
        can_upgrade: false,
    });
    let now_ms = app.env().now_ms();
    for limit in whole.iter().chain(&media.upload_limits) {
        let since_ms = limit.period_seconds.map_or(0, |seconds| {
            now_ms.saturating_sub(seconds.saturating_mul(1_000))
        });
        let used = app.house.uploaded_bytes(user_id, since_ms).await?;
        if used.saturating_add(size) > limit.bytes_max {
            return Err(exceeded(app, limit));
        }
    }
    Ok(())
}

/// Whether anything is limited at all.
pub(super) fn is_limited(app: &App) -> bool {
    let media = &app.config.media;
    media.quota_bytes_per_user > 0 || !media.upload_limits.is_empty()
}

/// Refuses a further address when too many wait for their content.
pub(super) async fn check_awaited(app: &App, user_id: &UserId) -> Result<(), Failure> {
    let awaited = app.house.awaited_uploads(user_id).await?;
    if awaited >= app.config.media.pending_uploads_max {
        return Err(Failure::limit_exceeded(AWAITED_RETRY_MS));
    }
    Ok(())
}

fn exceeded(app: &App, limit: &UploadLimit) -> Failure {
    let mut failure = Failure::new(ErrorCode::UserLimitExceeded, "you have uploaded too much")
        .with_status(403)
        .with(
            "info_uri",
            limit.info_uri.clone().unwrap_or_else(|| page(app)),
        );
    if limit.can_upgrade {
        failure = failure.with("can_upgrade", true);
    }
    failure
}

/// A page of ours that says what the matter is.
fn page(app: &App) -> String {
    let base = match app.client_url() {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("https://{}", app.config.server.name),
    };
    format!("{base}/_synapse/client/media_upload_limit_exceeded")
}
