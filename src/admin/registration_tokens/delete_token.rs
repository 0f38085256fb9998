//! `DELETE /_synapse/admin/v1/registration_tokens/{token}`

use std::sync::Arc;

use playhouse_actors::registration::message::RegistrationCommand;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/registration_tokens/{token}",
}

/// A token that is to go.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(path)]
    pub(crate) token: String,
}

/// It is gone.
#[response]
pub(crate) struct Response {}

/// Deletes a registration token. Accounts that were made with it stay.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let command = RegistrationCommand::DeleteToken(request.token);
    app.house.registration_command(command).await?;
    Ok(Response {})
}
