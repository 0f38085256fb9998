//! What is answered besides Matrix: health, metrics, contacts, and a page that says what this is.

mod health;
mod metrics;
mod support;
mod upload_limit;
mod welcome;

use actix_web::http::Method;

use crate::{
    config::Resource,
    edge::{Class, Routes},
};

/// Mounts all of it. Health and metrics have resources of their own, so that a listener can answer nothing else.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_page(Method::GET, "/", welcome::handle)
        .class(Class::Free);
    routes
        .mount_plain("/.well-known/matrix/support", support::handle)
        .class(Class::Free);
    routes
        .mount_plain(
            "/_synapse/client/media_upload_limit_exceeded",
            upload_limit::handle,
        )
        .class(Class::Free);
    routes
        .mount_plain("/health", health::handle)
        .class(Class::Free)
        .resource(Resource::Health);
    routes
        .mount_plain("/metrics", metrics::handle)
        .class(Class::Free)
        .resource(Resource::Metrics);
}
