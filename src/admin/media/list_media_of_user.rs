//! `GET /_synapse/admin/v1/users/{userId}/media`

use std::sync::Arc;

use playhouse_schema::models::media::KeptMedia;
use ruma::{
    OwnedUserId, UInt, UserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use super::of_user::{Asked, list};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/media",
}

/// Asks for a piece of the list.
#[request]
pub(crate) struct Request {
    /// Whose media.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// After so many.
    #[serde(default)]
    #[ruma_api(query)]
    pub(crate) from: UInt,
    /// So many.
    #[ruma_api(query)]
    pub(crate) limit: Option<UInt>,
    /// In this order.
    #[ruma_api(query)]
    pub(crate) order_by: Option<String>,
    /// Rising or falling.
    #[ruma_api(query)]
    pub(crate) dir: Option<String>,
}

/// A piece of the list.
#[response]
pub(crate) struct Response {
    /// The media.
    pub(crate) media: Vec<Listed>,
    /// How many there are in all.
    pub(crate) total: UInt,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<UInt>,
}

/// A piece of media.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    created_ts: UInt,
    last_access_ts: UInt,
    media_id: String,
    media_length: UInt,
    media_type: Option<String>,
    quarantined_by: Option<String>,
    safe_from_quarantine: bool,
    upload_name: Option<String>,
    /// Never anything: what previews bring belongs to nobody.
    url_cache: Option<String>,
    user_id: OwnedUserId,
    /// Whether an access token is needed to fetch it.
    authenticated: bool,
}

impl Listed {
    fn of(kept: KeptMedia, user_id: &UserId, authenticated: bool) -> Self {
        Self {
            created_ts: UInt::new_saturating(kept.at_ms),
            last_access_ts: UInt::new_saturating(kept.used_ms),
            media_id: kept.media_id,
            media_length: UInt::new_saturating(kept.size_bytes),
            media_type: kept.content_type,
            quarantined_by: kept.quarantined_by,
            safe_from_quarantine: kept.protected,
            upload_name: kept.file_name,
            url_cache: None,
            user_id: user_id.to_owned(),
            authenticated,
        }
    }
}

/// Lists what a user has uploaded.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let from = u64::from(request.from);
    let asked = Asked {
        user_id: &request.user_id,
        from,
        limit: request.limit.map_or(100, u64::from),
        order_by: request.order_by.as_deref(),
        dir: request.dir.as_deref(),
    };
    let (media, total) = list(&app, asked).await?;
    let next = from + media.len() as u64;
    let authenticated = !app.config.media.unauthenticated_download;
    let media = media.into_iter();
    let media = media.map(|kept| Listed::of(kept, &request.user_id, authenticated));
    Ok(Response {
        media: media.collect(),
        total: UInt::new_saturating(total),
        next_token: (next < total).then(|| UInt::new_saturating(next)),
    })
}
