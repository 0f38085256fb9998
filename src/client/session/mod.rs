//! Sessions: logging in and out.

mod get_login_token;
mod get_login_types;
mod json_web_token;
pub(crate) mod login;
mod logout;
mod logout_all;
pub(crate) mod password;
mod refresh_token;
mod vouched;

pub(crate) use get_login_token::LOGIN_TOKEN_LIFETIME_MS;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_login_types::handle);
    routes
        .mount(login::handle)
        .closes()
        .class(Class::Login)
        .fields(&["type"]);
    routes
        .mount(get_login_token::handle)
        .class(Class::Login)
        .also("/_matrix/client/unstable/org.matrix.msc3882/login/token");
    routes.mount(refresh_token::handle).class(Class::Login);
    routes.mount(logout::handle).guests();
    routes.mount(logout_all::handle).guests();
}
