//! Sessions of OAuth clients: ordinary devices whose tokens know the client to which they were given.

use std::sync::Arc;

use playhouse_schema::record::user::UserRecord;
use ruma::OwnedDeviceId;
use serde::{Deserialize, Serialize};

use super::{
    context::UserLimits, error::UserError, login, message::Login, state::User, token::TokenHash,
};
use crate::{env::Env, kernel::Decision};

/// A login of an OAuth client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientLogin {
    /// The client.
    pub client_id: String,
    /// The login.
    pub login: Login,
}

/// Which tokens are meant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GrantOf {
    /// An access or refresh token in force.
    Token(String),
    /// Those of a device.
    Device(OwnedDeviceId),
}

/// To whom tokens were given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// The device.
    pub device_id: OwnedDeviceId,
    /// The OAuth client; `None` for a session that did not begin by OAuth.
    pub client_id: Option<String>,
    /// Until when, milliseconds since the Unix epoch; `None` for a device, or when it does not end by itself.
    pub expires_ms: Option<u64>,
}

pub(super) fn decide(
    user: &User,
    login: ClientLogin,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    let mut decision = login::decide(user, login.login, env, limits)?;
    for record in &mut decision.records {
        if let UserRecord::TokenIssued(issued) = record {
            issued.client_id = Some(login.client_id.clone());
        }
    }
    Ok(decision)
}

pub(super) fn answer(user: &User, of: &GrantOf) -> Option<TokenGrant> {
    let named = |client_id: Option<&Arc<str>>| client_id.map(|client_id| client_id.to_string());
    match of {
        GrantOf::Token(token) => {
            let hash = TokenHash::of(token);
            if let Some(access) = user.tokens.access(&hash) {
                return Some(TokenGrant {
                    device_id: access.device_id.clone(),
                    client_id: named(access.client_id.as_ref()),
                    expires_ms: access.expires_ms,
                });
            }
            let refresh = user.tokens.refresh(&hash)?;
            Some(TokenGrant {
                device_id: refresh.device_id.clone(),
                client_id: named(refresh.client_id.as_ref()),
                expires_ms: refresh.expires_ms,
            })
        }
        GrantOf::Device(device_id) => {
            user.device(device_id)?;
            Some(TokenGrant {
                device_id: device_id.clone(),
                client_id: named(user.tokens.client_of(device_id)),
                expires_ms: None,
            })
        }
    }
}
