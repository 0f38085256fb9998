//! Rooms before they are joined.

mod get_complexity;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer(get_complexity::handle);
}
