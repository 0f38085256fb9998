//! Single sign-on: users log in by an account at another system (client-server API, "SSO client login"): by OpenID Connect, CAS or SAML 2.0.
//!
//! What a browser must remember on its way it carries itself, sealed, so that any node can go on. What it gets in the end is a login token.

mod callback;
mod cas;
mod cookie;
pub(crate) mod finish;
mod logout;
mod mapping;
mod provider;
pub(crate) mod redirect;
mod register;
mod saml;
pub(crate) mod stage;
mod used;
mod username;

use actix_web::http::Method;

pub(crate) use provider::Providers;

use crate::edge::{Class, Routes};

const REDIRECT: &str = "/_matrix/client/v3/login/sso/redirect";
const CALLBACK: &str = "/_synapse/client/oidc/callback";
const PICK_PROVIDER: &str = "/_synapse/client/pick_idp";
const PICK_NAME: &str = "/_synapse/client/pick_username/account_details";
const CHECK_NAME: &str = "/_synapse/client/pick_username/check";
const CONSENT: &str = "/_synapse/client/new_user_consent";
const REGISTER: &str = "/_synapse/client/sso_register";
const LOGOUT: &str = "/_synapse/client/oidc/backchannel_logout";
const REDIRECT_CAS: &str = "/_matrix/client/v3/login/cas/redirect";
const TICKET_CAS: &str = "/_matrix/client/v3/login/cas/ticket";
const METADATA_SAML: &str = "/_synapse/client/saml2/metadata.xml";
const ANSWER_SAML: &str = "/_synapse/client/saml2/authn_response";
const CONFIRM: &str = "/_synapse/client/sso_confirm";

/// A form with an answer of SAML has at most so many bytes: signatures and groups are long.
const ANSWER_BYTES_MAX: u64 = 512 * 1024;

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
        .closes()
        .class(Class::Login);
    routes.mount_page(Method::GET, PICK_NAME, username::page);
    routes
        .mount_page(Method::POST, PICK_NAME, username::picked)
        .closes()
        .class(Class::Registration);
    routes
        .mount_script(Method::GET, CHECK_NAME, username::check)
        .class(Class::Registration);
    routes
        .mount_page(Method::POST, CONFIRM, finish::confirmed)
        .closes()
        .class(Class::Login);
    routes.mount_page(Method::GET, CONSENT, register::consent_page);
    routes
        .mount_page(Method::POST, CONSENT, register::consented)
        .closes()
        .class(Class::Registration);
    routes
        .mount_page(Method::GET, REGISTER, register::register)
        .closes()
        .class(Class::Registration);
    mount_other_ways(routes);
}

/// Mounts what is not OpenID Connect, and what providers themselves ask.
fn mount_other_ways(routes: &mut Routes) {
    routes
        .mount_open(Method::POST, LOGOUT, logout::handle)
        .class(Class::Login);
    for (path, end) in [(REDIRECT_CAS, "redirect"), (TICKET_CAS, "ticket")] {
        let mounted = match end {
            "redirect" => routes.mount_page(Method::GET, path, cas::redirect),
            _ => routes.mount_page(Method::GET, path, cas::come_back),
        };
        mounted
            .closes()
            .also(&format!("/_matrix/client/r0/login/cas/{end}"))
            .also(&format!("/_matrix/client/api/v1/login/cas/{end}"))
            .also(&format!("/_matrix/client/unstable/login/cas/{end}"))
            .class(Class::Login);
    }
    routes
        .mount_open(Method::GET, METADATA_SAML, saml::metadata)
        .class(Class::Free);
    routes
        .mount_page(Method::POST, ANSWER_SAML, saml::come_back)
        .closes()
        .body_bytes_max(ANSWER_BYTES_MAX)
        .class(Class::Login);
}
