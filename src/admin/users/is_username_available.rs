//! `GET /_synapse/admin/v1/username_available`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/username_available",
}

/// Names a local part.
#[request]
pub(crate) struct Request {
    /// The local part.
    #[ruma_api(query)]
    pub(crate) username: String,
}

/// It is free.
#[response]
pub(crate) struct Response {
    /// It is.
    pub(crate) available: bool,
}

/// Tells an administrator whether an account of this name could be made, whether or not anybody may register.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    app.house.available_user_id(&request.username).await?;
    Ok(Response { available: true })
}
