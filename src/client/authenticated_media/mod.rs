//! Downloading media with a token (client-server API, "Content Repository").

mod get_content;
mod get_content_as_filename;
mod get_content_thumbnail;
mod get_media_config;
mod get_media_preview;

use ruma::api::client::authenticated_media as api;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<api::get_content::v1::Request, _, _, _, _>(get_content::handle)
        .guests();
    routes
        .mount_raw::<api::get_content_as_filename::v1::Request, _, _, _, _>(
            get_content_as_filename::handle,
        )
        .guests();
    routes
        .mount_raw::<api::get_content_thumbnail::v1::Request, _, _, _, _>(
            get_content_thumbnail::handle,
        )
        .guests();
    routes.mount(get_media_config::handle).guests();
    routes.mount_raw::<api::get_media_preview::v1::Request, _, _, _, _>(get_media_preview::handle);
}
