//! E-mail addresses and phone numbers: proving to have them, and whose they are.

mod add_3pid;
mod delete_3pid;
mod get_3pids;
mod post_3pid;
mod request_3pid_management_token_via_email;
mod request_password_change_token_via_email;
mod request_registration_token_via_email;
mod submit_token_form;
mod submit_token_page;
pub(crate) mod validation;

use std::sync::Arc;

use actix_web::http::Method;
use playhouse_actors::threepid::{ThreepidError, Validation};
use ruma::api::{client::uiaa::ThirdpartyIdCredentials, error::ErrorCode};

use self::validation::Purpose;
use crate::edge::{App, Class, Failure, Routes, Session};

/// The stage that is passed by proving to have a mail address.
pub(crate) const EMAIL: &str = "m.login.email.identity";

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
    let purpose = Purpose::Add.as_str();
    let proven = app.house.proven(sid, client_secret, purpose).await?;
    let proven = proven.ok_or(ThreepidError::Invalid)?;
    validation::check_allowed(app, &proven.address)?;
    // Used first: of two requests with the same proof one gets the address.
    app.house.use_proof(sid, client_secret, purpose).await?;
    app.house.claim_threepid(&caller.user_id, proven).await?;
    Ok(())
}

/// Checks the stage that is passed by a proven address. What it proves names the session.
pub(crate) async fn check_stage(
    app: &App,
    creds: &ThirdpartyIdCredentials,
    purpose: Purpose,
) -> Result<String, Failure> {
    let (sid, secret) = (creds.sid.as_str(), creds.client_secret.as_str());
    let proven = app.house.proven(sid, secret, purpose.as_str()).await?;
    let Some(proven) = proven else {
        return Err(Failure::new(
            ErrorCode::Unauthorized,
            "the address is not validated yet",
        ));
    };
    let owner = app.house.owner_of_threepid(&proven.address).await?;
    match (purpose, owner) {
        (Purpose::Register, Some(_)) => Err(Failure::new(
            ErrorCode::ThreepidInUse,
            "an account has this address already",
        )),
        (Purpose::Password, None) => Err(Failure::new(
            ErrorCode::ThreepidNotFound,
            "no account has this address",
        )),
        _ => Ok(format!("{sid} {secret}")),
    }
}

/// Uses what the stage has proven, once.
pub(crate) async fn use_stage(
    app: &App,
    proof: &str,
    purpose: Purpose,
) -> Result<Validation, Failure> {
    let (sid, secret) = proof
        .split_once(' ')
        .ok_or_else(|| Failure::internal("a stage's proof names no session"))?;
    Ok(app.house.use_proof(sid, secret, purpose.as_str()).await?)
}
