//! What application services ask as clients (application service API, "Client-Server API Extensions").

mod request_ping;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(request_ping::handle);
}
