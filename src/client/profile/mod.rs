//! Profiles (client-server API, "Profiles").

mod delete_profile_field;
mod get_profile;
mod get_profile_field;
mod set_profile_field;

use playhouse_actors::room::RoomError;
use ruma::{
    UserId,
    api::client::profile::{
        delete_profile_field as delete_field, get_profile as get_all,
        get_profile_field as get_field, set_profile_field as set_field,
    },
    api::error::ErrorCode,
};

use crate::edge::{App, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<get_all::v3::Request, _, _, _, _>(get_profile::handle)
        .also("/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}");
    routes.mount_fast::<get_field::v3::Request, _, _, _, _>(get_profile_field::handle);
    routes
        .mount_fast::<set_field::v3::Request, _, _, _, _>(set_profile_field::handle)
        .guests();
    routes
        .mount_fast::<delete_field::v3::Request, _, _, _, _>(delete_profile_field::handle)
        .guests();
}

/// Guests have a name and nothing else (client-server API, "Guest access").
fn must_be_open_to(caller: &Session, field: &str) -> Result<(), Failure> {
    if caller.guest && field != "displayname" {
        return Err(RoomError::GuestForbidden.into());
    }
    Ok(())
}

/// Whether a caller may know somebody's profile, where that is not for everybody.
async fn may_see(app: &App, caller: Option<&Session>, user_id: &UserId) -> Result<(), Failure> {
    if !app.config.limits.profiles_of_shared_rooms_only {
        return Ok(());
    }
    let caller = caller
        .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "profiles need an access token"))?;
    if caller.user_id == *user_id || app.house.shares_a_room(&caller.user_id, user_id).await? {
        return Ok(());
    }
    Err(Failure::forbidden(
        "profiles are told only to users who share a room",
    ))
}

/// User ID and field name out of the path.
fn user_and_field(path: &[String]) -> Result<(&UserId, &str), Failure> {
    let [user_id, field] = path else {
        return Err(Failure::internal("this path has two variables"));
    };
    let user_id = <&UserId>::try_from(user_id.as_str())
        .map_err(|error| Failure::invalid_param(format!("user ID: {error}")))?;
    Ok((user_id, field))
}
