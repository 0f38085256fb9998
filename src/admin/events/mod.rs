//! Single events, as those see them who look after the server.

mod journey;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(journey::handle);
}
