//! `GET /_synapse/admin/v1/registration_tokens/{token}`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, one};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/registration_tokens/{token}",
}

/// Asks for a token.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) token: String,
}

/// The token.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) token: Shown,
}

/// Tells an administrator how a registration token is used.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let token = one(&app, &request.token).await?;
    Ok(Response { token })
}
