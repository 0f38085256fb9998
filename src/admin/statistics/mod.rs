//! What takes how much room.

mod largest_rooms;
mod media_by_user;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(media_by_user::handle);
    routes.mount(largest_rooms::handle);
}
