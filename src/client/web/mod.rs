//! Pages that clients open in a browser: stages of authentication, logging in, the policies.

mod consent;
mod fallback_form;
mod fallback_page;
mod login_page;

use actix_web::http::Method;

pub(crate) use fallback_page::done;

use crate::{
    config::Policy,
    edge::{Class, Routes},
    pages::{Block, Language},
};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    for (method, path) in [
        (
            Method::GET,
            "/_matrix/client/unstable/auth/{auth_type}/fallback/web",
        ),
        (
            Method::POST,
            "/_matrix/client/unstable/auth/{auth_type}/fallback/web",
        ),
    ] {
        let mounted = if method == Method::GET {
            routes.mount_page(method, path, fallback_page::handle)
        } else {
            routes
                .mount_page(method, path, fallback_form::handle)
                .class(Class::Registration)
        };
        mounted
            .also("/_matrix/client/r0/auth/{auth_type}/fallback/web")
            .also("/_matrix/client/v3/auth/{auth_type}/fallback/web");
    }
    routes.mount_page(
        Method::GET,
        "/_matrix/static/client/login/",
        login_page::handle,
    );
    routes.mount_page(Method::GET, "/_matrix/consent", consent::handle);
}

/// The policies with where they can be read.
pub(crate) fn policies(policies: &[Policy], language: Language) -> Block {
    let links = policies.iter().filter_map(|policy| {
        let text = policy.text(language.code())?;
        let label = format!("{} ({})", text.name, policy.version);
        Some((label, text.url.clone()))
    });
    Block::links(links)
}
