//! How long events are kept.

mod configuration;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<configuration::Request, _, _, _, _>(configuration::handle)
        .guests();
}
