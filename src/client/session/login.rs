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
use serde_json::Value;

use super::{json_web_token, password};
use crate::edge::{App, Bridge, Class, Failure, Visitor, acted_for};

/// Begins a session for somebody who knows the password, or has a token.
pub(crate) async fn handle(
    app: Arc<App>,
    (_visitor, bridge): (Visitor, Option<Arc<Bridge>>),
    request: Request,
) -> Result<Response, Failure> {
    let login = Login {
        device_id: request.device_id,
        display_name: request.initial_device_display_name,
        refresh: request.refresh_token,
        access_lifetime_ms: app.config.registration.access_token_lifetime_ms,
    };
    let (user_id, session) = match request.login_info {
        LoginInfo::Password(passed) => {
            let user = login_name(&app, passed.identifier).await?;
            // Counted for the account as well as for the address: guessing from many addresses is slow too.
            app.limiter.take_for(Class::Login, &user).await?;
            password::login(&app, &user, passed.password, login).await?
        }
        LoginInfo::Token(token) => app.house.login_by_token(&token.token, login).await?,
        LoginInfo::ApplicationService(passed) => {
            let user = login_name(&app, passed.identifier).await?;
            let user_id = acted_for(&app, bridge.as_deref(), &user)?;
            let session = app.house.login(&user_id, login).await?;
            (user_id, session)
        }
        info if is_jwt(&app, &info) => {
            let data = info.data();
            let token = data.get("token").and_then(Value::as_str);
            let token = token.ok_or_else(|| Failure::missing_param("token is missing"))?;
            json_web_token::login(&app, token, login).await?
        }
        _ => {
            return Err(Failure::new(
                ErrorCode::Unknown,
                "this way of logging in is not offered",
            ));
        }
    };
    let mut response = Response::new(user_id, session.access_token, session.device_id);
    response.refresh_token = session.refresh_token;
    response.expires_in = session.expires_in_ms.map(Duration::from_millis);
    Ok(response)
}

fn is_jwt(app: &App, info: &LoginInfo) -> bool {
    app.config.jwt.enabled && info.login_type() == "org.matrix.login.jwt"
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
