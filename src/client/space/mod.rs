//! Spaces.

pub(crate) mod get_hierarchy;

pub(crate) use get_hierarchy::raw;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_whole(get_hierarchy::handle);
}
