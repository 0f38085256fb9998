//! `POST /_synapse/admin/v1/registration_tokens/new`

use std::sync::Arc;

use playhouse_actors::registration::message::{
    RegistrationCommand, RegistrationError, RegistrationToken,
};
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, must_be_ahead, one};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// A made-up token is so long.
const LENGTH: usize = 16;

/// The longest token.
const LENGTH_MAX: usize = 64;

/// So often a token is made up before it is told that all are taken: short ones are soon.
const ATTEMPTS_MAX: usize = 8;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/registration_tokens/new",
}

/// The token to be made.
#[request]
pub(crate) struct Request {
    /// The token itself; without it one is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// So long a made-up token is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) length: Option<usize>,
    /// So many registrations it permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uses_allowed: Option<u64>,
    /// Until when, milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiry_time: Option<u64>,
}

/// The token that was made.
#[response]
pub(crate) struct Response {
    /// All of it.
    #[ruma_api(body)]
    pub(crate) token: Shown,
}

/// Makes a registration token.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    must_be_ahead(&app, request.expiry_time)?;
    let length = request.length.unwrap_or(LENGTH);
    if request.token.is_none() && !(1..=LENGTH_MAX).contains(&length) {
        return Err(Failure::invalid_param("length is not from 1 to 64"));
    }
    let mut attempts = 0;
    loop {
        let given = request.token.clone();
        let token = given.unwrap_or_else(|| app.env().random_string(length));
        let command = RegistrationCommand::SetToken {
            token: RegistrationToken {
                token: token.clone(),
                uses_max: request.uses_allowed,
                expires_ms: request.expiry_time,
            },
            new: true,
        };
        attempts += 1;
        match app.house.registration_command(command).await {
            Err(RegistrationError::Taken) if request.token.is_none() && attempts < ATTEMPTS_MAX => {
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {
                let token = one(&app, &token).await?;
                return Ok(Response { token });
            }
        }
    }
}
