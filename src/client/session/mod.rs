//! Sessions: logging in and out.

mod get_login_types;
pub(crate) mod login;
mod logout;
mod logout_all;
mod refresh_token;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_login_types::handle);
    routes.mount(login::handle).class(Class::Login);
    routes.mount(refresh_token::handle).class(Class::Login);
    routes.mount(logout::handle).guests();
    routes.mount(logout_all::handle).guests();
}
