//! Log in, on a new device or again on a known one.

use playhouse_schema::record::user::{DeviceAdded, TokenIssued, UserRecord};
use ruma::{DeviceId, OwnedDeviceId};

use super::{
    context::UserLimits,
    error::UserError,
    message::{LoggedIn, Login, UserReply},
    state::User,
    token::{self, TokenHash, TokenKind},
};
use crate::{env::Env, kernel::Decision};

/// Device IDs that are made here.
const DEVICE_ID_CHARACTERS: usize = 10;
/// What the device is called by which an administrator acts for a user.
const ADMINISTRATORS_DEVICE: &str = "Administrator of this server";
/// Longer names and IDs are refused.
pub(super) const DEVICE_ID_BYTES_MAX: usize = 255;

pub(super) fn decide(
    user: &User,
    login: Login,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    if user.open()?.locked {
        return Err(UserError::Locked);
    }
    begin(user, login, env, limits)
}

/// Adds a device without a session.
pub(super) fn decide_device(
    user: &User,
    device_id: OwnedDeviceId,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if user.device(&device_id).is_some() {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    check_device_id(&device_id)?;
    if user.devices.len() >= limits.devices_max {
        return Err(UserError::TooLarge("too many devices".to_owned()));
    }
    let record = UserRecord::DeviceAdded(DeviceAdded {
        device_id: device_id.to_string(),
        display_name: None,
    });
    Ok(Decision::new(vec![record], UserReply::Done))
}

/// Begins a session for an administrator.
pub(super) fn decide_as(
    user: &User,
    until_ms: Option<u64>,
    (env, limits): (&Env, &UserLimits),
) -> Result<Decision<User>, UserError> {
    let login = Login {
        device_id: None,
        display_name: Some(ADMINISTRATORS_DEVICE.to_owned()),
        refresh: false,
        access_lifetime_ms: 0,
    };
    let mut decision = decide(user, login, env, limits)?;
    for record in &mut decision.records {
        if let UserRecord::TokenIssued(issued) = record {
            issued.expires_ms = until_ms;
        }
    }
    Ok(decision)
}

fn check_device_id(device_id: &DeviceId) -> Result<(), UserError> {
    if device_id.as_str().is_empty() || device_id.as_str().len() > DEVICE_ID_BYTES_MAX {
        return Err(UserError::InvalidParam(
            "device_id must have 1 to 255 bytes".to_owned(),
        ));
    }
    Ok(())
}

/// Begins a session, whatever the account's standing.
pub(super) fn begin(
    user: &User,
    login: Login,
    env: &Env,
    limits: &UserLimits,
) -> Result<Decision<User>, UserError> {
    let device_id = match login.device_id {
        Some(device_id) => device_id,
        None => new_device_id(user, env),
    };
    check_device_id(&device_id)?;
    let mut records = Vec::new();
    if user.device(&device_id).is_some() {
        let ended = user.tokens.of_device(&device_id);
        if !ended.is_empty() {
            records.push(UserRecord::TokensRevoked(ended));
        }
    } else {
        if user.devices.len() >= limits.devices_max {
            return Err(UserError::TooLarge("too many devices".to_owned()));
        }
        records.push(UserRecord::DeviceAdded(DeviceAdded {
            device_id: device_id.to_string(),
            display_name: login.display_name.map(cut_name),
        }));
    }
    let lifetime_ms = login.refresh.then_some(login.access_lifetime_ms);
    let (issued, session) = issue(user, device_id, lifetime_ms, (env, limits));
    records.push(UserRecord::TokenIssued(issued));
    Ok(Decision::new(records, UserReply::LoggedIn(session)))
}

/// Makes tokens for a device: with a lifetime an access token that ends and a refresh token, else an access token that stays.
pub(super) fn issue(
    user: &User,
    device_id: OwnedDeviceId,
    lifetime_ms: Option<u64>,
    (env, limits): (&Env, &UserLimits),
) -> (TokenIssued, LoggedIn) {
    let access_token = token::make(TokenKind::Access, &user.user_id, env);
    let refresh_token = lifetime_ms.map(|_| token::make(TokenKind::Refresh, &user.user_id, env));
    let now_ms = env.now_ms();
    let issued = TokenIssued {
        device_id: device_id.to_string(),
        access_hash: TokenHash::of(&access_token).to_record(),
        expires_ms: lifetime_ms.map(|lifetime_ms| now_ms.saturating_add(lifetime_ms)),
        refresh_hash: refresh_token
            .as_deref()
            .map(|token| TokenHash::of(token).to_record()),
        refresh_expires_ms: lifetime_ms
            .and(limits.refresh_lifetime_ms)
            .map(|lifetime_ms| now_ms.saturating_add(lifetime_ms)),
        replaces_refresh_hash: None,
        client_id: None,
    };
    let session = LoggedIn {
        access_token,
        refresh_token,
        expires_in_ms: lifetime_ms,
        device_id,
    };
    (issued, session)
}

/// A device's name, cut to a length that every list can show.
pub(super) fn cut_name(name: String) -> String {
    const NAME_CHARACTERS_MAX: usize = 256;
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => name[..end].to_owned(),
        None => name,
    }
}

fn new_device_id(user: &User, env: &Env) -> OwnedDeviceId {
    loop {
        let device_id =
            OwnedDeviceId::from(env.random_string(DEVICE_ID_CHARACTERS).to_ascii_uppercase());
        if user.device(&device_id).is_none() {
            return device_id;
        }
    }
}
