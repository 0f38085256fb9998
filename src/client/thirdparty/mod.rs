//! Networks behind bridges.

mod asking;
mod get_location_for_protocol;
mod get_location_for_room_alias;
mod get_protocol;
mod get_protocols;
mod get_user_for_protocol;
mod get_user_for_user_id;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_location_for_protocol::handle);
    routes.mount(get_location_for_room_alias::handle);
    routes.mount(get_protocol::handle);
    routes.mount(get_protocols::handle);
    routes.mount(get_user_for_protocol::handle);
    routes.mount(get_user_for_user_id::handle);
}
