//! Passwords: those that this server keeps, and those that other systems know.

use std::sync::Arc;

use playhouse_actors::{
    house::{HouseError, NewAccount},
    threepid::{Address, Validation},
    user::{
        UserError,
        message::{Account, LoggedIn, Login},
    },
};
use ruma::{OwnedUserId, UserId};

use crate::{
    edge::{App, Failure},
    third_party::Proved,
};

/// Begins a session for somebody who knows the password of a user: a user ID of this server or a local part.
pub(super) async fn login(
    app: &Arc<App>,
    user: &str,
    password: String,
    login: Login,
) -> Result<(OwnedUserId, LoggedIn), Failure> {
    if let Some(user_id) = local(app, user)
        && let Some(proved) = elsewhere(app, &user_id, &password).await?
    {
        let user_id = account(app, &proved).await?;
        let session = app.house.login(&user_id, login).await?;
        return Ok((user_id, session));
    }
    if !app.config.passwords.local {
        return Err(HouseError::BadLogin.into());
    }
    Ok(app.house.login_by_password(user, password, login).await?)
}

/// Whether somebody may have a password: one that this server keeps, or one that another system knows.
pub(crate) fn has_password(app: &App, account: &Account) -> bool {
    let is_kept = app.config.passwords.local && account.password_hash.is_some();
    is_kept || !app.third_party.passwords.is_empty()
}

/// Whether this is the password of a user of this server who has an account.
pub(crate) async fn is_password(
    app: &Arc<App>,
    user_id: &UserId,
    password: String,
) -> Result<bool, Failure> {
    if let Some(proved) = elsewhere(app, user_id, &password).await? {
        return Ok(proved.localpart == user_id.localpart());
    }
    is_password_here(app, user_id, password).await
}

/// The same for who may come for the first time, and is named by a user ID or a local part: whose account it is.
pub(crate) async fn account_by_password(
    app: &Arc<App>,
    user: &str,
    password: String,
) -> Result<Option<OwnedUserId>, Failure> {
    let Some(user_id) = local(app, user) else {
        return Ok(None);
    };
    if let Some(proved) = elsewhere(app, &user_id, &password).await? {
        return Ok(Some(account(app, &proved).await?));
    }
    let is_right = is_password_here(app, &user_id, password).await?;
    Ok(is_right.then_some(user_id))
}

async fn is_password_here(
    app: &Arc<App>,
    user_id: &UserId,
    password: String,
) -> Result<bool, Failure> {
    Ok(app.config.passwords.local && app.house.is_password(user_id, password).await?)
}

fn local(app: &Arc<App>, user: &str) -> Option<OwnedUserId> {
    let server = app.env().server_name();
    let user_id = if user.starts_with('@') {
        UserId::parse(user)
    } else {
        UserId::parse(format!("@{user}:{server}"))
    };
    user_id
        .ok()
        .filter(|user_id| user_id.server_name() == server)
}

async fn elsewhere(
    app: &Arc<App>,
    user_id: &UserId,
    password: &str,
) -> Result<Option<Proved>, Failure> {
    app.third_party.passwords.check(user_id, password).await
}

/// The account of somebody whom another system knows, made if need be.
async fn account(app: &Arc<App>, proved: &Proved) -> Result<OwnedUserId, Failure> {
    let user_id = match app.house.available_user_id(&proved.localpart).await {
        Ok(user_id) => user_id,
        Err(HouseError::User(UserError::UserInUse)) => {
            let known = local(app, &proved.localpart.to_ascii_lowercase());
            return known.ok_or_else(|| Failure::forbidden("this is no user name"));
        }
        Err(error) => return Err(error.into()),
    };
    if !app.config.passwords.register {
        return Err(Failure::forbidden("no such account"));
    }
    app.house.must_have_room_for_newcomer(None).await?;
    let new = NewAccount {
        username: Some(proved.localpart.clone()),
        password: None,
        admin: false,
        guest: false,
        user_type: None,
        displayname: proved.displayname.clone(),
        login: None,
        token: None,
        terms: None,
    };
    match app.house.register(new).await {
        Ok(_) => {}
        // The same person was faster on another device.
        Err(HouseError::User(UserError::UserInUse)) => return Ok(user_id),
        Err(error) => return Err(error.into()),
    }
    for email in &proved.emails {
        keep_address(app, &user_id, email).await;
    }
    Ok(user_id)
}

/// Gives an account an address that another system vouches for. Without it the account is as good.
pub(crate) async fn keep_address(app: &Arc<App>, user_id: &UserId, email: &str) {
    let Some(address) = Address::email(email) else {
        return;
    };
    let proven = Validation {
        address,
        validated_ms: app.env().now_ms(),
    };
    if let Err(error) = app.house.claim_threepid(user_id, proven).await {
        tracing::info!(%user_id, %error, "an address that another system vouches for is not taken over");
    }
}
