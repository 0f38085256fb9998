//! Media: uploading, and downloading without a token as old clients do (client-server API, "Content Repository").
//!
//! What both kinds of download share is in [`serve`].

mod create_content;
mod create_content_async;
mod create_mxc_uri;
mod get_content;
mod get_content_as_filename;
mod get_content_thumbnail;
mod get_media_config;
mod get_media_preview;
pub(crate) mod preview;
mod quota;
mod remote;
pub(crate) mod removal;
pub(crate) mod serve;
mod sweep;

use ruma::api::client::media as api;

pub(crate) use self::{
    remote::Fetches,
    sweep::{start, start_settling},
};
use crate::edge::{Class, Routes};

/// An upload that sends nothing for so long is given up.
const UPLOAD_PAUSE_MS: u64 = 60_000;

/// Mounts the area.
#[expect(deprecated, reason = "old clients know nothing newer")]
pub(crate) fn mount(routes: &mut Routes) {
    // The largest upload is the blobs' own bound; here it must only not be smaller.
    routes
        .mount_upload(create_content::handle)
        .class(Class::Upload)
        .body_bytes_max(u64::MAX)
        .body_timeout_ms(UPLOAD_PAUSE_MS);
    routes.mount(create_mxc_uri::handle).class(Class::Upload);
    routes
        .mount_upload(create_content_async::handle)
        .class(Class::Upload)
        .body_bytes_max(u64::MAX)
        .body_timeout_ms(UPLOAD_PAUSE_MS);
    routes.mount_raw::<api::get_content::v3::Request, _, _, _, _>(get_content::handle);
    routes.mount_raw::<api::get_content_as_filename::v3::Request, _, _, _, _>(
        get_content_as_filename::handle,
    );
    routes.mount_raw::<api::get_content_thumbnail::v3::Request, _, _, _, _>(
        get_content_thumbnail::handle,
    );
    routes.mount(get_media_config::handle).guests();
    routes.mount_raw::<api::get_media_preview::v3::Request, _, _, _, _>(get_media_preview::handle);
}
