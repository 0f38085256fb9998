//! What administrators have the server tell its users.

mod send_server_notice;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(send_server_notice::handle);
    routes.mount(send_server_notice::once::handle);
}
