//! Single events, in whichever room they are, as those see them who look after the server.

mod fetch_event;
mod journey;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw(fetch_event::handle);
    routes.mount(journey::handle);
}
