//! Threads (client-server API, "Threading").

mod get_threads;

use ruma::api::client::threads::get_threads::v1::Request;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw::<Request, _, _, _, _>(get_threads::handle);
}
