//! Read markers.

mod set_read_marker;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(set_read_marker::handle);
}
