//! Application services that act for one of their users (application service API, "Identity assertion").

use std::sync::Arc;

use playhouse_actors::{
    house::{HouseError, NewAccount},
    user::{
        UserError,
        message::{self, Account},
    },
};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId, api::error::ErrorCode};

use super::{
    app::App, bridges::Bridge, caller::Session, failure::Failure, incoming::Incoming, query,
    route::percent_decoded,
};

/// The session of the user for whom it acts: `user_id` of the query, or else its own user; on the device that `device_id` names, if it does.
///
/// # Errors
///
/// `M_FORBIDDEN` for users for whom it does not act, or whom it has not registered; `M_UNKNOWN_DEVICE`; what is refused to users whose accounts are closed
/// or locked.
pub(super) async fn session(incoming: &Incoming, bridge: Arc<Bridge>) -> Result<Session, Failure> {
    let app = &incoming.app;
    let user_id = match parameter(incoming, "user_id") {
        Some(named) => UserId::parse(named)
            .map_err(|error| Failure::invalid_param(format!("user_id: {error}")))?,
        None => bridge.sender.clone(),
    };
    if !bridge.acts_for(&user_id) {
        return Err(Failure::forbidden(
            "the application service does not act for this user",
        ));
    }
    let device = parameter(incoming, "device_id")
        .or_else(|| parameter(incoming, "org.matrix.msc3202.device_id"));
    let device_id: Option<OwnedDeviceId> = device.map(Into::into);
    let named = (&*user_id, device_id.as_deref());
    let (account, has_device) = account(app, &bridge, named).await?;
    if account.deactivated {
        return Err(HouseError::from(UserError::Deactivated).into());
    }
    if account.locked {
        return Err(HouseError::from(UserError::Locked).into());
    }
    if !has_device {
        let unknown = ErrorCode::from("M_UNKNOWN_DEVICE");
        return Err(Failure::new(unknown, "the user has no such device").with_status(400));
    }
    Ok(Session {
        known: message::Session {
            user_id,
            device_id,
            // It acts for users, and not for who keeps the server.
            admin: false,
            guest: false,
            suspended: account.suspended,
            locked: false,
            expires_ms: None,
            valid_until_ms: None,
            shadow_banned: account.shadow_banned,
            rate: bridge.rate.or(account.rate),
            confirms_refresh: false,
        },
        bridge: Some(bridge),
    })
}

/// The user's account, and whether the device is there, if one is named. The account of its own user is there without being made.
async fn account(
    app: &App,
    bridge: &Bridge,
    (user_id, device_id): (&UserId, Option<&DeviceId>),
) -> Result<(Account, bool), Failure> {
    match app.house.acting(user_id, device_id).await {
        Err(HouseError::User(UserError::UnknownUser)) if bridge.sender == *user_id => {}
        Err(HouseError::User(UserError::UnknownUser)) => {
            return Err(Failure::forbidden(
                "the application service has not registered this user",
            ));
        }
        found => return Ok(found?),
    }
    let new = NewAccount {
        username: Some(user_id.localpart().to_owned()),
        ..NewAccount::default()
    };
    match app.house.register(new).await {
        Ok(_) | Err(HouseError::User(UserError::UserInUse)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(app.house.acting(user_id, device_id).await?)
}

/// A plus sign stands for itself: user IDs may have one.
fn parameter(incoming: &Incoming, name: &str) -> Option<String> {
    let mut values = query::raw(incoming.query(), name);
    let value = values.find(|value| !value.is_empty())?;
    percent_decoded(value)
}

/// The user ID for which an application service registers or logs in.
pub(crate) fn acted_for(
    app: &App,
    bridge: Option<&Bridge>,
    name: &str,
) -> Result<OwnedUserId, Failure> {
    let bridge = bridge.ok_or_else(|| {
        Failure::new(
            ErrorCode::MissingToken,
            "this takes the token of an application service",
        )
    })?;
    let whole = match name.starts_with('@') {
        true => name.to_owned(),
        false => format!("@{}:{}", name.to_lowercase(), app.env().server_name()),
    };
    let user_id =
        UserId::parse(whole).map_err(|error| Failure::invalid_param(error.to_string()))?;
    match bridge.acts_for(&user_id) {
        true => Ok(user_id),
        false => Err(super::bridges::exclusive(
            "the application service has not reserved this user name",
        )),
    }
}
