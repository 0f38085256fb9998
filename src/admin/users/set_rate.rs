//! `POST /_synapse/admin/v1/users/{user_id}/override_ratelimit`

use std::sync::Arc;

use playhouse_actors::user::message::AdminDecision;
use playhouse_schema::record::user::RateOverride;
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
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/override_ratelimit",
}

/// How fast requests of a user may come.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// So many events a second; 0 is no bound.
    #[serde(default)]
    pub(crate) messages_per_second: u32,
    /// So many at once.
    #[serde(default)]
    pub(crate) burst_count: u32,
}

/// It is so.
#[response]
pub(crate) struct Response {
    /// So many events a second.
    pub(crate) messages_per_second: u32,
    /// So many at once.
    pub(crate) burst_count: u32,
}

/// Gives a user a rate that is not everybody's.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let rate = RateOverride {
        per_second: request.messages_per_second,
        burst: request.burst_count,
    };
    let decision = AdminDecision::SetRateOverride(Some(rate));
    app.house.administer(&request.user_id, decision).await?;
    Ok(Response {
        messages_per_second: rate.per_second,
        burst_count: rate.burst,
    })
}
