//! What administrators may ask about the server itself.

mod server_version;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(server_version::handle);
}
