//! Accounts: making, keeping and closing them.

pub(crate) mod account_status;
mod change_password;
mod check_registration_token_validity;
mod deactivate;
pub(crate) mod flows;
mod get_username_availability;
pub(crate) mod password_rules;
mod register;
mod request_openid_token;
pub(crate) mod stages;
mod whoami;

use ruma::api::client::account::register::v3::Request as Register;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<Register, _, _, _, _>(register::handle)
        .closes()
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
}
