//! `GET /_synapse/admin/v1/media/{serverName}/{mediaId}`

use std::sync::Arc;

use playhouse_actors::{house::MediaName, media::MediaError};
use ruma::{
    OwnedServerName, UInt,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/media/{server_name}/{media_id}",
}

/// Names a piece of media.
#[request]
pub(crate) struct Request {
    /// Whose it is.
    #[ruma_api(path)]
    pub(crate) server_name: OwnedServerName,
    /// Its ID there.
    #[ruma_api(path)]
    pub(crate) media_id: String,
}

/// What is known of it.
#[response]
pub(crate) struct Response {
    /// All of it.
    pub(crate) media_info: MediaInfo,
}

/// What is known of a piece of media.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MediaInfo {
    media_origin: Option<OwnedServerName>,
    user_id: Option<String>,
    media_id: String,
    media_type: Option<String>,
    media_length: Option<UInt>,
    upload_name: Option<String>,
    created_ts: Option<UInt>,
    filesystem_id: Option<String>,
    url_cache: Option<String>,
    last_access_ts: Option<UInt>,
    quarantined_by: Option<String>,
    authenticated: bool,
    safe_from_quarantine: Option<bool>,
    sha256: Option<String>,
}

/// Tells all there is to know of a piece of media that is here.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let name = MediaName::new(&request.server_name, &request.media_id);
    let facts = app.house.media_facts(&name).await?;
    let is_local = app.house.is_local(&request.server_name);
    let uploaded = facts.uploaded;
    let reserved_by = facts.reserved.map(|reserved| reserved.user_id);
    if uploaded.is_none() && reserved_by.is_none() {
        return Err(MediaError::Unknown.into());
    }
    let user_id = uploaded.as_ref().map(|uploaded| uploaded.user_id.clone());
    let content = uploaded.as_ref();
    // Only the oldest content is named by a SHA-256.
    let sha256 = content.map(|content| content.sha256.clone());
    Ok(Response {
        media_info: MediaInfo {
            media_origin: (!is_local).then_some(request.server_name),
            user_id: user_id.or(reserved_by).filter(|_| is_local),
            media_id: request.media_id,
            media_type: content.and_then(|content| content.content_type.clone()),
            media_length: content.map(|content| UInt::new_saturating(content.size_bytes)),
            upload_name: content.and_then(|content| content.file_name.clone()),
            created_ts: content.map(|content| UInt::new_saturating(content.at_ms)),
            filesystem_id: None,
            url_cache: None,
            last_access_ts: content.map(|_| UInt::new_saturating(facts.used_ms)),
            quarantined_by: facts.quarantined_by,
            authenticated: !app.config.media.unauthenticated_download,
            safe_from_quarantine: is_local.then_some(facts.protected),
            sha256: sha256.filter(|name| name.len() == 64),
        },
    })
}
