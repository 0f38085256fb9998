//! `PUT /_synapse/admin/v1/registration_tokens/{token}`

use std::sync::Arc;

use playhouse_actors::registration::message::{RegistrationCommand, TokenChange};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, must_be_ahead, one};
use crate::{
    admin::{fields::given, only_administrators},
    edge::{App, Failure, Session},
};

metadata! {
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/registration_tokens/{token}",
}

/// What is to change; what is not named stays.
#[request]
pub(crate) struct Request {
    /// Which token.
    #[ruma_api(path)]
    pub(crate) token: String,
    /// So many registrations it permits; null takes the bound away.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) uses_allowed: Option<Option<u64>>,
    /// Until when, milliseconds since the Unix epoch; null for ever.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) expiry_time: Option<Option<u64>>,
}

/// The token as it is now.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) token: Shown,
}

/// Changes the bounds of a registration token.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    must_be_ahead(&app, request.expiry_time.flatten())?;
    let change = TokenChange {
        token: request.token.clone(),
        uses_max: request.uses_allowed,
        expires_ms: request.expiry_time,
    };
    let command = RegistrationCommand::ChangeToken(change);
    app.house.registration_command(command).await?;
    let token = one(&app, &request.token).await?;
    Ok(Response { token })
}
