//! The OAuth 2.0 API (client-server API, "OAuth 2.0 API"): this server as its own authorization server.
//!
//! Clients register themselves, send their users to pages of ours, and get tokens of ordinary devices. What a user allowed is a pass of the user, so a code
//! is used once, be it over a restart. Pages know a browser again by a cookie that is such a pass too.

mod account;
mod answer;
mod authorize;
mod browser;
mod client;
mod code;
mod device;
mod introspect;
mod legacy;
mod metadata;
mod registration;
mod revoke;
mod scope;
mod sign_up;
mod token;
mod userinfo;

use actix_web::http::Method;
use ruma::api::error::ErrorCode;

pub(crate) use legacy::{leads_legacy_clients, path as legacy_path};

use crate::edge::{App, Class, Failure, Routes};

const AUTHORIZE: &str = "/oauth2/authorize";
const TOKEN: &str = "/oauth2/token";
const REGISTRATION: &str = "/oauth2/registration";
const REVOKE: &str = "/oauth2/revoke";
const INTROSPECT: &str = "/oauth2/introspect";
const USERINFO: &str = "/oauth2/userinfo";
const KEYS: &str = "/oauth2/keys.json";
const DEVICE: &str = "/oauth2/device";
const LINK: &str = "/oauth2/link";
const LINK_CODE: &str = "/oauth2/link/code";
const SIGN_IN: &str = "/oauth2/login";
const SIGN_UP: &str = "/oauth2/register";
const RECOGNISED: &str = "/oauth2/recognised";
const SIGN_OUT: &str = "/oauth2/logout";
const LEGACY: &str = "/oauth2/sso";
const ACCOUNT: &str = "/oauth2/account";

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_open(
            Method::GET,
            "/_matrix/client/v1/auth_metadata",
            metadata::whole,
        )
        .also("/_matrix/client/unstable/org.matrix.msc2965/auth_metadata")
        .also("/.well-known/openid-configuration")
        .also("/.well-known/oauth-authorization-server")
        .class(Class::Free);
    routes
        .mount_open(
            Method::GET,
            "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer",
            metadata::issuer,
        )
        .class(Class::Free);
    routes
        .mount_open(Method::GET, KEYS, metadata::keys)
        .class(Class::Free);
    routes
        .mount_open(Method::POST, REGISTRATION, registration::handle)
        .class(Class::Registration);
    routes.mount_open(Method::POST, TOKEN, token::handle);
    routes.mount_open(Method::POST, REVOKE, revoke::handle);
    routes.mount_open(Method::POST, INTROSPECT, introspect::handle);
    routes.mount_open(Method::GET, USERINFO, userinfo::handle);
    routes.mount_open(Method::POST, USERINFO, userinfo::handle);
    routes
        .mount_open(Method::POST, DEVICE, device::ask)
        .class(Class::Login);
    routes.mount_page(Method::GET, AUTHORIZE, authorize::page);
    routes
        .mount_page(Method::POST, AUTHORIZE, authorize::decide)
        .closes();
    routes.mount_page(Method::GET, LINK, device::page);
    routes
        .mount_page(Method::POST, LINK, device::decide)
        .class(Class::Login);
    routes.mount_page(Method::POST, LINK_CODE, device::typed);
    routes.mount_page(Method::GET, SIGN_UP, sign_up::page);
    routes
        .mount_page(Method::POST, SIGN_UP, sign_up::signed_up)
        .closes()
        .class(Class::Registration);
    routes
        .mount_page(Method::POST, SIGN_IN, browser::signed_in)
        .closes()
        .class(Class::Login);
    routes
        .mount_page(Method::GET, RECOGNISED, browser::recognised)
        .closes()
        .class(Class::Login);
    routes
        .mount_page(Method::GET, LEGACY, legacy::page)
        .closes();
    routes.mount_page(Method::POST, SIGN_OUT, browser::signed_out);
    routes.mount_page(Method::GET, ACCOUNT, account::page);
    routes.mount_page(Method::POST, ACCOUNT, account::act);
}

/// Where the account's pages are on which a user can allow that the cross-signing keys are replaced.
pub(crate) fn cross_signing_reset_url(app: &App) -> Option<String> {
    let base = app
        .base_url(None)
        .or_else(|| app.client_listener.get().cloned())?;
    let base = base.trim_end_matches('/');
    Some(format!(
        "{base}{ACCOUNT}?action=org.matrix.cross_signing_reset"
    ))
}

/// The beginning of every address here; `M_UNRECOGNIZED` when OAuth is off, or nobody knows how clients reach this server.
fn offered(app: &App, host: Option<&str>) -> Result<String, Failure> {
    let base = app.base_url(host).filter(|_| app.config.oauth.enabled);
    base.ok_or_else(|| Failure::new(ErrorCode::Unrecognized, "OAuth is not offered here"))
}
