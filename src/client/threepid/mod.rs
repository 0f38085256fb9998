//! E-mail addresses and phone numbers: proving to have them, and whose they are.

mod add_3pid;
mod bind_3pid;
mod delete_3pid;
pub(crate) mod forget;
mod get_3pids;
mod phone;
mod post_3pid;
mod request_3pid_management_token_via_email;
mod request_3pid_management_token_via_msisdn;
mod request_password_change_token_via_email;
mod request_password_change_token_via_msisdn;
mod request_registration_token_via_email;
mod request_registration_token_via_msisdn;
pub(crate) mod stage;
mod submit_msisdn_token;
mod submit_token_form;
mod submit_token_page;
mod unbind_3pid;
pub(crate) mod validation;

use std::sync::Arc;

use actix_web::http::Method;
use playhouse_actors::threepid::ThreepidError;

use self::validation::Purpose;
use crate::edge::{App, Class, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount(request_registration_token_via_email::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/register/email/requestToken");
    routes
        .mount(request_3pid_management_token_via_email::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/account/3pid/email/requestToken");
    routes
        .mount(request_password_change_token_via_email::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/account/password/email/requestToken");
    routes
        .mount(request_registration_token_via_msisdn::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/register/msisdn/requestToken");
    routes
        .mount(request_3pid_management_token_via_msisdn::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/account/3pid/msisdn/requestToken");
    routes
        .mount(request_password_change_token_via_msisdn::handle)
        .class(Class::ThirdParty)
        .also("/_matrix/client/unstable/account/password/msisdn/requestToken");
    routes
        .mount(submit_msisdn_token::handle)
        .class(Class::Login);
    routes
        .mount(bind_3pid::handle)
        .class(Class::Login)
        .also("/_matrix/client/unstable/account/3pid/bind");
    routes
        .mount(unbind_3pid::handle)
        .also("/_matrix/client/unstable/account/3pid/unbind");
    routes
        .mount(get_3pids::handle)
        .also("/_matrix/client/unstable/account/3pid");
    routes
        .mount(post_3pid::handle)
        .class(Class::Login)
        .also("/_matrix/client/r0/account/3pid")
        .also("/_matrix/client/unstable/account/3pid");
    routes
        .mount(add_3pid::handle)
        .class(Class::Login)
        .also("/_matrix/client/unstable/account/3pid/add");
    routes
        .mount(delete_3pid::handle)
        .also("/_matrix/client/unstable/account/3pid/delete");
    for purpose in [Purpose::Register, Purpose::Add, Purpose::Password] {
        routes.mount_page(Method::GET, purpose.path(), submit_token_page::handle);
        routes.mount_page(Method::POST, purpose.path(), submit_token_form::handle);
    }
}

/// Accounts may be forbidden to change their addresses.
fn check_changes(app: &App) -> Result<(), Failure> {
    if app.config.email.changes {
        Ok(())
    } else {
        Err(Failure::forbidden(
            "addresses cannot be changed on this server",
        ))
    }
}

/// Adds what a session has proven to the caller's account.
async fn add(
    app: &Arc<App>,
    caller: &Session,
    sid: &str,
    client_secret: &str,
) -> Result<(), Failure> {
    let session = (sid, client_secret);
    let proven = stage::proven(app, session, Purpose::Add).await?;
    let proven = proven.ok_or(ThreepidError::Invalid)?;
    validation::check_allowed(app, &proven.address)?;
    // Used first: of two requests with the same proof one gets the address.
    let proven = stage::spend(app, session, Purpose::Add)
        .await
        .map(|_| proven)?;
    app.house.claim_threepid(&caller.user_id, proven).await?;
    Ok(())
}
