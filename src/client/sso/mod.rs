//! Single sign-on: users log in by an account at another system (client-server API, "SSO client login"; OpenID Connect).
//!
//! What a browser must remember on its way it carries itself, sealed, so that any node can go on. What it gets in the end is a login token.

mod callback;
mod cookie;
mod finish;
mod provider;
mod redirect;
mod username;

use actix_web::http::Method;

pub(crate) use provider::Providers;

use crate::edge::{Class, Routes};

const REDIRECT: &str = "/_matrix/client/v3/login/sso/redirect";
const CALLBACK: &str = "/_synapse/client/oidc/callback";
const PICK_PROVIDER: &str = "/_synapse/client/pick_idp";
const PICK_NAME: &str = "/_synapse/client/pick_username/account_details";
const CHECK_NAME: &str = "/_synapse/client/pick_username/check";
const CONFIRM: &str = "/_synapse/client/sso_confirm";

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_page(Method::GET, REDIRECT, redirect::any)
        .also("/_matrix/client/r0/login/sso/redirect")
        .also("/_matrix/client/api/v1/login/sso/redirect")
        .also("/_matrix/client/unstable/login/sso/redirect");
    let one = format!("{REDIRECT}/{{idp_id}}");
    routes
        .mount_page(Method::GET, &one, redirect::one)
        .also("/_matrix/client/r0/login/sso/redirect/{idp_id}")
        .also("/_matrix/client/unstable/org.matrix.msc2858/login/sso/redirect/{idp_id}");
    routes.mount_page(Method::GET, PICK_PROVIDER, redirect::pick);
    routes
        .mount_page(Method::GET, CALLBACK, callback::come_back)
        .class(Class::Login);
    routes.mount_page(Method::GET, PICK_NAME, username::page);
    routes
        .mount_page(Method::POST, PICK_NAME, username::picked)
        .class(Class::Registration);
    routes
        .mount_script(Method::GET, CHECK_NAME, username::check)
        .class(Class::Registration);
    routes
        .mount_page(Method::POST, CONFIRM, finish::confirmed)
        .class(Class::Login);
}
