//! The dashboard: a page for administrators that does everything over the admin API, and what it needs besides.
//!
//! Its files stand in `ops/dashboard` as browsers read them and are part of the program. Whoever may open the page learns nothing by that: it asks for a
//! token, and the API decides what that opens.

mod files;
mod get_figures;
mod who_am_i;

use actix_web::http::Method;

use crate::edge::{Class, Routes};

/// Mounts the area. The files are free of the limits of rates, since a browser asks for all of them at once.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_figures::handle);
    routes.mount(who_am_i::handle);
    routes
        .mount_open(Method::GET, "/_playhouse/admin", files::lead)
        .class(Class::Free);
    routes
        .mount_open(Method::GET, "/_playhouse/admin/", files::index)
        .class(Class::Free);
    routes
        .mount_open(
            Method::GET,
            "/_playhouse/admin/dashboard/{name}",
            files::handle,
        )
        .class(Class::Free);
}
