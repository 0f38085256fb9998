//! `POST /_synapse/admin/v2/users/{user_id}/devices`

use std::sync::Arc;

use actix_web::http::StatusCode;
use bytes::Bytes;
use playhouse_actors::user::message::AdminDecision;
use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Prepared, RawJson, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v2/users/{user_id}/devices",
}

/// A device that is to be.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// Its ID.
    pub(crate) device_id: OwnedDeviceId,
}

/// It is there.
#[response]
pub(crate) struct Response {}

/// Adds a device without a session (201); it may be there already.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Prepared, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let decision = AdminDecision::AddDevice(request.device_id);
    app.house.administer(&request.user_id, decision).await?;
    Ok(Prepared::from(RawJson(Bytes::from_static(b"{}"))).with_status(StatusCode::CREATED))
}
