//! `POST /_synapse/admin/v1/purge_media_cache`

use std::sync::Arc;

use playhouse_schema::models::media_lists::UnusedMedia;
use ruma::{
    UInt,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{
        media::{AT_ONCE_MAX, must_be_a_time},
        only_administrators,
    },
    client::media::removal,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/purge_media_cache",
}

/// Says what is to go.
#[request]
pub(crate) struct Request {
    /// Not used since then.
    #[ruma_api(query)]
    pub(crate) before_ts: UInt,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// So many copies are gone.
    pub(crate) deleted: UInt,
}

/// Drops copies of other servers' media that nobody has used for long. So many at once: whoever asks again goes on.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let which = UnusedMedia {
        remote: true,
        before_ms: must_be_a_time(request.before_ts)?,
        size_bytes_over: 0,
        keep_faces_of: None,
    };
    let by = caller.user_id.as_str();
    let removed = removal::remove_unused(&app, &which, by, AT_ONCE_MAX).await?;
    Ok(Response {
        deleted: UInt::new_saturating(removed.len() as u64),
    })
}
