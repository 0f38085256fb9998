//! Finding users.

mod search_users;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(search_users::handle);
}
