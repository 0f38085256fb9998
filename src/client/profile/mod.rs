//! Profiles (client-server API, "Profiles").

mod delete_profile_field;
mod get_profile;
mod get_profile_field;
mod set_profile_field;

use ruma::{
    UserId,
    api::client::profile::{
        delete_profile_field as delete_field, get_profile as get_all,
        get_profile_field as get_field, set_profile_field as set_field,
    },
};

use crate::edge::{Failure, Routes};

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

/// User ID and field name out of the path.
fn user_and_field(path: &[String]) -> Result<(&UserId, &str), Failure> {
    let [user_id, field] = path else {
        return Err(Failure::internal("this path has two variables"));
    };
    let user_id = <&UserId>::try_from(user_id.as_str())
        .map_err(|error| Failure::invalid_param(format!("user ID: {error}")))?;
    Ok((user_id, field))
}
