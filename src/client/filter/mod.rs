//! Filters that are kept here (client-server API, "Filtering").

mod create_filter;
mod get_filter;

use ruma::api::client::filter::{create_filter as create, get_filter as get};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<create::v3::Request, _, _, _, _>(create_filter::handle)
        .guests();
    routes
        .mount_raw::<get::v3::Request, _, _, _, _>(get_filter::handle)
        .guests();
}
