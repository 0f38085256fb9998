//! `POST /_matrix/client/*/account/password`

use std::sync::Arc;

use playhouse_actors::threepid::ThreepidError;
use ruma::api::{
    client::account::change_password::v3::{Request, Response},
    error::ErrorCode,
};

use super::{password_rules, stages::prove_identity};
use crate::{
    client::threepid::{
        stage::{self, EMAIL, MSISDN},
        validation::Purpose,
    },
    edge::{App, Failure, Session, uiaa::Demand},
};

/// Changes the caller's password; other sessions end unless the caller wants to keep them.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<Response, Failure> {
    if !app.config.passwords.local {
        return Err(Failure::forbidden("passwords are not kept by this server"));
    }
    password_rules::check(&app, &request.new_password)?;
    let Some(caller) = caller else {
        return reset(&app, request).await;
    };
    prove_identity(&app, &caller, "account/password", request.auth.as_ref()).await?;
    let logout_except = request
        .logout_devices
        .then_some(caller.device_id.as_deref());
    app.house
        .set_password(&caller.user_id, request.new_password, logout_except)
        .await?;
    Ok(Response::new())
}

/// Sets a new password for somebody who proves to have an address of the account.
async fn reset(app: &Arc<App>, request: Request) -> Result<Response, Failure> {
    let outside = &app.third_party;
    let flows: &[&[&'static str]] = match (outside.mailer.is_some(), outside.knows_phones()) {
        (true, true) => &[&[EMAIL], &[MSISDN]],
        (true, false) => &[&[EMAIL]],
        (false, true) => &[&[MSISDN]],
        (false, false) => {
            return Err(Failure::new(
                ErrorCode::MissingToken,
                "access token is missing",
            ));
        }
    };
    let auth = request.auth.as_ref();
    let demand = Demand {
        scope: "account/password".to_owned(),
        flows,
    };
    let verify = async |_stage| match auth {
        Some(auth) => stage::check(app, auth, Purpose::Password).await,
        None => Err(Failure::bad_json("this stage needs an address")),
    };
    let passed = app.interactive.pass(demand, auth, verify).await?;
    let proven = stage::use_up(app, &passed.proofs, Purpose::Password).await?;
    let proven = proven.ok_or(ThreepidError::Invalid)?;
    let owner = app.house.owner_of_threepid(&proven.address).await?;
    let owner = owner.ok_or(ThreepidError::Unknown)?;
    app.house
        .set_password(
            &owner,
            request.new_password,
            request.logout_devices.then_some(None),
        )
        .await?;
    Ok(Response::new())
}
