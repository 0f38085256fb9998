//! `GET` and `POST /_synapse/admin/v1/register`
//!
//! A script that knows the shared secret makes accounts: it fetches a nonce, and proves by an HMAC over nonce, name, password and role that it knows the
//! secret. Each nonce serves once, for a minute, at whichever node it comes back to, also after a restart.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use playhouse_actors::{
    house::NewAccount,
    registration::{RegistrationCommand, RegistrationError, give_nonce, read_nonce},
    user::message::Login,
};
use ruma::{
    OwnedDeviceId, OwnedServerName, OwnedUserId,
    api::{auth_scheme::NoAuthentication, error::ErrorCode, request, response},
    metadata,
};
use sha1::Sha1;

use crate::edge::{App, Failure};

/// The request for a nonce.
pub(crate) mod nonce {
    use super::{NoAuthentication, metadata, request, response};

    metadata! {
        method: GET,
        rate_limited: true,
        authentication: NoAuthentication,
        path: "/_synapse/admin/v1/register",
    }

    /// Asks for a nonce.
    #[request]
    pub(crate) struct Request {}

    /// A nonce.
    #[response]
    pub(crate) struct Response {
        /// To be used once, soon.
        pub(crate) nonce: String,
    }
}

metadata! {
    method: POST,
    rate_limited: true,
    authentication: NoAuthentication,
    path: "/_synapse/admin/v1/register",
}

/// An account to be made.
#[request]
pub(crate) struct Request {
    /// From the request before.
    pub(crate) nonce: String,
    /// The local part.
    pub(crate) username: String,
    /// The display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) displayname: Option<String>,
    /// The password.
    pub(crate) password: String,
    /// Server administrator.
    #[serde(default)]
    pub(crate) admin: bool,
    /// `bot`, `support` or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_type: Option<String>,
    /// HMAC-SHA1 in hexadecimal over nonce, name, password, `admin` or `notadmin`, and the user type if any, joined by NUL bytes.
    pub(crate) mac: String,
}

/// The account, logged in.
#[response]
pub(crate) struct Response {
    /// An access token.
    pub(crate) access_token: String,
    /// The user.
    pub(crate) user_id: OwnedUserId,
    /// This server.
    pub(crate) home_server: OwnedServerName,
    /// The device.
    pub(crate) device_id: OwnedDeviceId,
}

/// Gives a nonce.
pub(crate) async fn handle_nonce(
    app: Arc<App>,
    _caller: (),
    _request: nonce::Request,
) -> Result<nonce::Response, Failure> {
    secret(&app)?;
    Ok(nonce::Response {
        nonce: give_nonce(app.env()),
    })
}

/// Makes an account.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let secret = secret(&app)?;
    if read_nonce(app.env(), &request.nonce).is_none() {
        return Err(RegistrationError::UnknownNonce.into());
    }
    // Who does not know the secret writes nothing.
    check(&secret, &request)?;
    let command = RegistrationCommand::UseNonce(request.nonce);
    app.house.registration_command(command).await?;
    let made = app
        .house
        .register(NewAccount {
            username: Some(request.username),
            password: Some(request.password),
            admin: request.admin,
            user_type: request.user_type,
            displayname: request.displayname,
            login: Some(Login {
                device_id: None,
                display_name: None,
                refresh: false,
                access_lifetime_ms: app.config.registration.access_token_lifetime_ms,
            }),
            ..NewAccount::default()
        })
        .await?;
    let login = made
        .login
        .ok_or_else(|| Failure::internal("no session was begun"))?;
    Ok(Response {
        access_token: login.access_token,
        home_server: made.user_id.server_name().to_owned(),
        user_id: made.user_id,
        device_id: login.device_id,
    })
}

fn secret(app: &App) -> Result<String, Failure> {
    let secret = app.config.registration.shared_secret.clone();
    secret.ok_or_else(|| {
        Failure::new(
            ErrorCode::Unknown,
            "registration by shared secret is not switched on",
        )
    })
}

fn check(secret: &str, request: &Request) -> Result<(), Failure> {
    if request.username.contains('\0') || request.password.contains('\0') {
        return Err(Failure::invalid_param("names and passwords have no NUL"));
    }
    let role = if request.admin { "admin" } else { "notadmin" };
    let mut signed = [
        request.nonce.as_str(),
        &request.username,
        &request.password,
        role,
    ]
    .join("\0");
    if let Some(user_type) = &request.user_type {
        signed.push('\0');
        signed.push_str(user_type);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map_err(Failure::internal)?;
    mac.update(signed.as_bytes());
    let given = from_hexadecimal(&request.mac).unwrap_or_default();
    mac.verify_slice(&given)
        .map_err(|_| Failure::forbidden("HMAC incorrect"))
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}
