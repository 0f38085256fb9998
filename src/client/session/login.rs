//! `POST /_matrix/client/*/login`

use std::{sync::Arc, time::Duration};

use playhouse_actors::{threepid::Address, user::message::Login};
use ruma::api::{
    client::{
        session::login::v3::{LoginInfo, Request, Response},
        uiaa::UserIdentifier,
    },
    error::ErrorCode,
};

use crate::edge::{App, Bridge, Class, Failure, Visitor};

/// Begins a session for somebody who knows the password.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (Visitor, Option<Arc<Bridge>>),
    request: Request,
) -> Result<Response, Failure> {
    let LoginInfo::Password(password) = request.login_info else {
        return Err(Failure::new(
            ErrorCode::Unknown,
            "this way of logging in is not offered",
        ));
    };
    let user = login_name(&app, password.identifier).await?;
    // Counted for the account as well as for the address: guessing from many addresses is slow too.
    app.limiter.take_for(Class::Login, &user)?;
    let login = Login {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refresh: request.refresh_token,
        access_lifetime_ms: app.config.registration.access_token_lifetime_ms,
    };
    let (user_id, session) = app
        .house
        .login_by_password(&user, password.password, login)
        .await?;
    let mut response = Response::new(user_id, session.access_token, session.device_id);
    response.refresh_token = session.refresh_token;
    response.expires_in = session.expires_in_ms.map(Duration::from_millis);
    Ok(response)
}

/// The user name or user ID that an identifier means. An address that nobody has is nobody's name.
pub(crate) async fn login_name(
    app: &App,
    identifier: Option<UserIdentifier>,
) -> Result<String, Failure> {
    let address = match identifier {
        Some(UserIdentifier::Matrix(matrix)) => return Ok(matrix.user),
        Some(UserIdentifier::Email(email)) => Address::email(&email.address),
        Some(UserIdentifier::Msisdn(phone)) => Address::msisdn(&phone.number),
        // Without a plan of the world's numbers only those with their country's digits are understood.
        Some(UserIdentifier::PhoneNumber(phone)) => {
            let international = phone.phone.starts_with('+');
            international
                .then(|| Address::msisdn(&phone.phone))
                .flatten()
        }
        Some(_) => {
            return Err(Failure::new(
                ErrorCode::Unknown,
                "unknown type of identifier",
            ));
        }
        None => return Err(Failure::missing_param("identifier is missing")),
    };
    let owner = match address {
        Some(address) => app.house.owner_of_threepid(&address).await?,
        None => None,
    };
    Ok(owner.map(String::from).unwrap_or_default())
}
