//! Tags of rooms (client-server API, "Room Tagging").

mod create_tag;
mod delete_tag;
mod get_tags;

use ruma::api::client::tag::{create_tag as create, get_tags as get};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw::<get::v3::Request, _, _, _, _>(get_tags::handle);
    routes.mount_fast::<create::v3::Request, _, _, _, _>(create_tag::handle);
    routes.mount(delete_tag::handle);
}
