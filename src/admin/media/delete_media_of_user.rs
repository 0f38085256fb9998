//! `DELETE /_synapse/admin/v1/users/{userId}/media`

use std::sync::Arc;

use playhouse_actors::house::MediaName;
use ruma::{
    OwnedUserId, UInt,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::of_user::{Asked, list};
use crate::{
    admin::only_administrators,
    client::media::removal,
    edge::{App, Failure, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/media",
}

/// Names what is to go as a piece of the list of a user's media.
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

/// It is done.
#[response]
pub(crate) struct Response {
    /// IDs of what is gone.
    pub(crate) deleted_media: Vec<String>,
    /// So many.
    pub(crate) total: UInt,
}

/// Deletes some of a user's media for ever.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let asked = Asked {
        user_id: &request.user_id,
        from: request.from.into(),
        limit: request.limit.map_or(100, u64::from),
        order_by: request.order_by.as_deref(),
        dir: request.dir.as_deref(),
    };
    let (media, _) = list(&app, asked).await?;
    let own = app.env().server_name();
    let names = media
        .into_iter()
        .map(|kept| MediaName::new(own, &kept.media_id));
    let by = caller.user_id.as_str();
    let removed = removal::remove_all(&app, names.collect(), by).await?;
    Ok(Response {
        total: UInt::new_saturating(removed.len() as u64),
        deleted_media: removed.into_iter().map(|name| name.media_id).collect(),
    })
}
