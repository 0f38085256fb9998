//! The public room list.

mod get_public_rooms;
mod get_public_rooms_filtered;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer(get_public_rooms::handle);
    routes.mount_peer(get_public_rooms_filtered::handle);
}
