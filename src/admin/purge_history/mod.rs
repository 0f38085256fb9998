//! Taking history out of rooms.

mod begin_purge;
mod purge_status;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(begin_purge::handle);
    routes.mount(begin_purge::up_to_event::handle);
    routes.mount(purge_status::handle);
}
