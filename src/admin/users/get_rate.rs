//! `GET /_synapse/admin/v1/users/{user_id}/override_ratelimit`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/override_ratelimit",
}

/// Asks how fast requests of a user may come.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// How fast; nothing where that is as for everybody.
#[response]
pub(crate) struct Response {
    /// So many events a second; 0 is no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) messages_per_second: Option<u32>,
    /// So many at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst_count: Option<u32>,
}

/// Tells an administrator how fast requests of a user may come.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let account = local_account(&app, &request.user_id).await?;
    let (messages_per_second, burst_count) = account
        .rate
        .map(|rate| (rate.per_second, rate.burst))
        .unzip();
    Ok(Response {
        messages_per_second,
        burst_count,
    })
}
