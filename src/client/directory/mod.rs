//! The public room list.

mod get_public_rooms;
mod get_public_rooms_filtered;
mod get_room_visibility;
pub(crate) mod listing;
mod set_room_visibility;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_public_rooms::handle).guests();
    routes.mount(get_public_rooms_filtered::handle).guests();
    routes.mount(get_room_visibility::handle);
    routes.mount(set_room_visibility::handle);
}
