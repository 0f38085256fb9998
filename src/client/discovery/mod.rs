//! What clients ask before anything else.

mod discover_homeserver;
mod discover_policy_server;
mod federation_whitelist;
mod get_capabilities;
pub(crate) mod get_supported_versions;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<discover_homeserver::Request, _, _, _, _>(discover_homeserver::handle)
        .class(Class::Free);
    routes
        .mount(get_supported_versions::handle)
        .guests()
        .class(Class::Free);
    routes.mount(get_capabilities::handle).guests();
    routes
        .mount(discover_policy_server::handle)
        .class(Class::Free);
    routes.mount(federation_whitelist::handle);
}
