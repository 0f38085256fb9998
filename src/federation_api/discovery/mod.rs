//! What servers ask before anything else.

mod discover_homeserver;
mod get_server_version;

use ruma::api::federation::discovery as api;

use crate::{
    config::Resource,
    edge::{Class, Routes},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    // Asked for where clients ask, below the server's name.
    routes
        .mount_raw::<api::discover_homeserver::Request, _, _, _, _>(discover_homeserver::handle)
        .class(Class::Free)
        .resource(Resource::Client);
    routes
        .mount_raw::<api::get_server_version::v1::Request, _, _, _, _>(get_server_version::handle)
        .class(Class::Free)
        .resource(Resource::Federation);
}
