//! Questions about users and names.

mod get_account_status;
mod get_custom_information;
mod get_profile_information;
mod get_room_information;

use ruma::api::federation::query as api;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer(get_account_status::handle);
    routes.mount_peer_raw::<api::get_custom_information::v1::Request, _, _, _>(
        get_custom_information::handle,
    );
    routes.mount_peer_raw::<api::get_profile_information::v1::Request, _, _, _>(
        get_profile_information::handle,
    );
    routes.mount_peer(get_room_information::handle);
}
