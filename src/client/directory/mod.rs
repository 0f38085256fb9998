//! The public room list.

mod get_room_visibility;
mod set_room_visibility;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_room_visibility::handle);
    routes.mount(set_room_visibility::handle);
}
