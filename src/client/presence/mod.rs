//! Presence.

mod get_presence;
mod set_presence;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_presence::handle);
    routes.mount(set_presence::handle);
}
