//! `POST /_synapse/admin/v1/deactivate/{user_id}`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::account::ThirdPartyIdRemovalStatus, request, response,
    },
    metadata,
};

use super::{close, local_account};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/deactivate/{user_id}",
}

/// An account that is to be closed.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// New readers get the user's events in pruned form.
    #[serde(default)]
    pub(crate) erase: bool,
}

/// It is closed.
#[response]
pub(crate) struct Response {
    /// Whether all identity servers have forgotten the user's addresses.
    pub(crate) id_server_unbind_result: ThirdPartyIdRemovalStatus,
}

/// Closes an account. That the user leaves all rooms follows from the log.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let id_server_unbind_result = close(&app, &request.user_id, request.erase).await?;
    Ok(Response {
        id_server_unbind_result,
    })
}
