//! `POST /_synapse/admin/v1/media/delete`, and its older path

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
    path: "/_synapse/admin/v1/media/delete",
}

/// Says what is to go.
#[request]
pub(crate) struct Request {
    /// Not used since then.
    #[ruma_api(query)]
    pub(crate) before_ts: UInt,
    /// Larger than this.
    #[serde(default)]
    #[ruma_api(query)]
    pub(crate) size_gt: UInt,
    /// Pictures of users and rooms stay, unless this is false.
    #[ruma_api(query)]
    pub(crate) keep_profiles: Option<bool>,
}

/// It is done.
#[response]
pub(crate) struct Response {
    /// IDs of what is gone.
    pub(crate) deleted_media: Vec<String>,
    /// So many.
    pub(crate) total: UInt,
}

/// Deletes media of this server for ever that nobody has used for long; what was put away or is protected stays. So many at once that the answer stays small:
/// whoever asks again goes on.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let which = (request.before_ts, request.size_gt, request.keep_profiles);
    delete(&app, &caller, which).await
}

async fn delete(
    app: &App,
    caller: &Session,
    (before_ts, size_gt, keep_profiles): (UInt, UInt, Option<bool>),
) -> Result<Response, Failure> {
    only_administrators(caller)?;
    let which = UnusedMedia {
        remote: false,
        before_ms: must_be_a_time(before_ts)?,
        size_bytes_over: size_gt.into(),
        keep_faces_of: keep_profiles
            .unwrap_or(true)
            .then(|| app.house.media_uri_beginning()),
    };
    let by = caller.user_id.as_str();
    let removed = removal::remove_unused(app, &which, by, AT_ONCE_MAX).await?;
    Ok(Response {
        total: UInt::new_saturating(removed.len() as u64),
        deleted_media: removed.into_iter().map(|name| name.media_id).collect(),
    })
}

/// The older path.
pub(crate) mod old {
    use ruma::OwnedServerName;

    use super::{
        AccessToken, App, Arc, Failure, Session, UInt, delete, metadata, only_administrators,
        request, response,
    };
    use crate::admin::media::must_be_local;

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/media/{server_name}/delete",
    }

    /// Says what is to go.
    #[request]
    pub(crate) struct Request {
        /// This server.
        #[ruma_api(path)]
        pub(crate) server_name: OwnedServerName,
        /// Not used since then.
        #[ruma_api(query)]
        pub(crate) before_ts: UInt,
        /// Larger than this.
        #[serde(default)]
        #[ruma_api(query)]
        pub(crate) size_gt: UInt,
        /// Pictures of users and rooms stay, unless this is false.
        #[ruma_api(query)]
        pub(crate) keep_profiles: Option<bool>,
    }

    /// It is done.
    #[response]
    pub(crate) struct Response {
        /// IDs of what is gone.
        pub(crate) deleted_media: Vec<String>,
        /// So many.
        pub(crate) total: UInt,
    }

    /// The same.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        must_be_local(&app, &request.server_name)?;
        let which = (request.before_ts, request.size_gt, request.keep_profiles);
        let done = delete(&app, &caller, which).await?;
        Ok(Response {
            deleted_media: done.deleted_media,
            total: done.total,
        })
    }
}
