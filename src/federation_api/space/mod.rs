//! Spaces.

mod get_hierarchy;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer(get_hierarchy::handle);
}
