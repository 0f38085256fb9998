//! Accounts, as administrators find, make, change, close and open them again.

mod allow_cross_signing_reset;
mod count_joined_rooms;
mod count_sent_invites;
mod deactivate_user;
mod delete_rate;
mod end_shadow_ban;
mod find_by_external_id;
mod find_by_threepid;
mod get_account_data;
mod get_admin;
mod get_joined_rooms;
mod get_memberships;
mod get_pushers;
mod get_rate;
mod get_user;
mod is_username_available;
mod list_users;
mod login_as_user;
mod redact_status;
mod redact_user;
mod reopen_user;
mod reset_password;
mod search_users;
mod set_admin;
mod set_rate;
mod set_user;
mod set_validity;
mod shadow_ban_user;
mod shown;
mod suspend_user;
mod whois;

use playhouse_actors::{admins::AdminRole, user::message::Account};
use ruma::{UserId, api::client::account::ThirdPartyIdRemovalStatus};

use crate::{
    client::threepid::forget,
    edge::{App, Failure, Routes, Session},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_users::handle);
    routes.mount(list_users::handle_v3);
    routes.mount(get_user::handle);
    routes.mount_raw(set_user::handle);
    routes.mount(reset_password::handle);
    routes.mount(deactivate_user::handle);
    routes.mount(reopen_user::handle).role(AdminRole::Operate);
    routes.mount(get_admin::handle);
    routes.mount(set_admin::handle);
    routes.mount(suspend_user::handle);
    routes.mount(get_joined_rooms::handle);
    routes.mount(get_pushers::handle);
    routes.mount(whois::handle);
    routes.mount(shadow_ban_user::handle);
    routes.mount(end_shadow_ban::handle);
    routes.mount(get_rate::handle);
    routes.mount(set_rate::handle);
    routes.mount(delete_rate::handle);
    routes.mount(get_memberships::handle);
    routes.mount(count_sent_invites::handle);
    routes.mount(count_joined_rooms::handle);
    routes.mount(get_account_data::handle);
    routes.mount(login_as_user::handle);
    routes.mount(allow_cross_signing_reset::handle);
    routes.mount(find_by_threepid::handle);
    routes.mount(find_by_external_id::handle);
    routes.mount(is_username_available::handle);
    routes.mount(search_users::handle);
    routes.mount(set_validity::handle);
    routes.mount(redact_user::handle);
    routes.mount(redact_status::handle);
}

/// Refuses users of other servers.
fn must_be_local(app: &App, user_id: &UserId) -> Result<(), Failure> {
    if app.house.is_local(user_id.server_name()) {
        return Ok(());
    }
    Err(Failure::invalid_param(
        "this user belongs to another server",
    ))
}

/// An account of this server, open or closed: 404 when there is none.
pub(super) async fn local_account(app: &App, user_id: &UserId) -> Result<Account, Failure> {
    must_be_local(app, user_id)?;
    Ok(app.house.account(user_id).await?)
}

/// Nobody stops being an administrator by one's own word: somebody must be left.
fn must_stay(caller: &Session, user_id: &UserId, admin: Option<bool>) -> Result<(), Failure> {
    if caller.user_id == *user_id && admin == Some(false) {
        return Err(Failure::invalid_param("you may not demote yourself"));
    }
    Ok(())
}

/// Closes an account, and lets identity servers forget its addresses.
async fn close(
    app: &App,
    user_id: &UserId,
    erase: bool,
) -> Result<ThirdPartyIdRemovalStatus, Failure> {
    app.house.deactivate(user_id, erase).await?;
    let known = app.house.threepid_bindings(user_id).await?;
    let forgotten = forget::unbind(app, user_id, known).await?;
    Ok(forget::status(forgotten, true))
}
