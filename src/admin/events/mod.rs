//! Single events, in whichever room they are.

mod fetch_event;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw(fetch_event::handle);
}
