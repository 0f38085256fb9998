//! Room aliases (client-server API, "Room aliases").

mod create_alias;
mod delete_alias;
mod get_alias;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(create_alias::handle);
    routes.mount(get_alias::handle);
    routes.mount(delete_alias::handle);
}
