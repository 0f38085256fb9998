//! Calls.

mod get_turn_server_info;

use ruma::api::client::voip::get_turn_server_info::v3;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<v3::Request, _, _, _, _>(get_turn_server_info::handle)
        .guests();
}
