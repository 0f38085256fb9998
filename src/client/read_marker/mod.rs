//! Read markers.

mod set_read_marker;

pub(crate) use set_read_marker::allows_backward;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_whole(set_read_marker::handle);
}
