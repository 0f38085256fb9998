//! Media of this server's users (server-server API, "Content Repository").

mod get_content;
mod get_content_thumbnail;
mod multipart;

use ruma::api::federation::authenticated_media as api;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<api::get_content::v1::Request, _, _, _>(get_content::handle);
    routes.mount_peer_raw::<api::get_content_thumbnail::v1::Request, _, _, _>(
        get_content_thumbnail::handle,
    );
}
