//! What surrounds an event.

pub(crate) mod get_context;

use ruma::api::client::context::get_context::v3;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<v3::Request, _, _, _, _>(get_context::handle)
        .guests();
}
