//! Administration: what the client-server API has of it, and registration by shared secret, as scripts for Synapse use it.

pub(crate) mod get_user_info;
mod is_user_locked;
mod is_user_suspended;
mod lock_user;
mod register_by_secret;
mod suspend_user;

use playhouse_actors::user::message::Account;
use ruma::UserId;

use crate::edge::{App, Class, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_user_info::handle);
    routes.mount(is_user_locked::handle);
    routes.mount(is_user_suspended::handle);
    routes.mount(lock_user::handle);
    routes.mount(suspend_user::handle);
    routes
        .mount(register_by_secret::handle_nonce)
        .class(Class::Registration);
    routes
        .mount(register_by_secret::handle)
        .class(Class::Registration);
}

/// An open account of this server, for an administrator.
async fn account(app: &App, caller: &Session, user_id: &UserId) -> Result<Account, Failure> {
    if !caller.admin {
        return Err(Failure::forbidden("only for server administrators"));
    }
    if !app.house.is_local(user_id.server_name()) {
        return Err(Failure::invalid_param(
            "this user belongs to another server",
        ));
    }
    let account = app.house.account(user_id).await?;
    if account.deactivated {
        return Err(Failure::not_found("unknown user"));
    }
    Ok(account)
}

/// Administrators neither lock out themselves nor each other.
fn must_be_other(caller: &Session, account: &Account) -> Result<(), Failure> {
    if caller.user_id == account.user_id || account.admin {
        return Err(Failure::forbidden("this account is an administrator's"));
    }
    Ok(())
}
