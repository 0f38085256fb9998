//! Accounts: making, keeping and closing them.

mod account_status;
mod change_password;
mod check_registration_token_validity;
mod deactivate;
pub(crate) mod flows;
mod get_openid_userinfo;
mod get_username_availability;
pub(crate) mod password_rules;
mod register;
mod request_openid_token;
pub(crate) mod stages;
mod whoami;

use ruma::api::{
    client::account::register::v3::Request as Register,
    federation::openid::get_openid_userinfo::v1::Request as UserInfo,
};

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<Register, _, _, _, _>(register::handle)
        .class(Class::Registration);
    routes
        .mount(get_username_availability::handle)
        .class(Class::Registration);
    routes
        .mount(check_registration_token_validity::handle)
        .class(Class::Registration)
        .also("/_matrix/client/unstable/org.matrix.msc3231/register/org.matrix.msc3231.login.registration_token/validity");
    routes.mount(whoami::handle).guests();
    routes.mount(change_password::handle).class(Class::Login);
    routes.mount(deactivate::handle).class(Class::Login);
    routes.mount(account_status::handle);
    routes.mount(request_openid_token::handle);
    routes.mount_fast::<UserInfo, _, _, _, _>(get_openid_userinfo::handle);
}
