//! The stages of user-interactive authentication that accounts pass.

use std::sync::Arc;

use ruma::{
    UserId,
    api::client::uiaa::{AuthData, UserIdentifier},
};

use crate::{
    client::session::login::login_name,
    edge::{
        App, Class, Failure, Session,
        uiaa::{Demand, Passed},
    },
};

/// Proves again who somebody is who has a session already: by the password of the account.
pub(crate) async fn prove_password(
    app: &Arc<App>,
    caller: &Session,
    operation: &str,
    auth: Option<&AuthData>,
) -> Result<Passed, Failure> {
    let demand = Demand {
        scope: format!("{operation} {}", caller.known.user_id),
        flows: &[&["m.login.password"]],
    };
    app.interactive
        .pass(demand, auth, |_stage| {
            check_password(app, &caller.user_id, auth)
        })
        .await
}

async fn check_password(
    app: &Arc<App>,
    user_id: &UserId,
    auth: Option<&AuthData>,
) -> Result<String, Failure> {
    let Some(AuthData::Password(password)) = auth else {
        return Err(Failure::bad_json("this stage needs a password"));
    };
    let named = login_name(app, Some(password.identifier.clone())).await?;
    let is_caller = named == user_id.as_str() || named == user_id.localpart();
    if !is_caller || matches!(password.identifier, UserIdentifier::_Custom(_)) {
        return Err(Failure::forbidden("wrong user or password"));
    }
    app.limiter.take_for(Class::Login, user_id.as_str())?;
    if app
        .house
        .is_password(user_id, password.password.clone())
        .await?
    {
        Ok(String::new())
    } else {
        Err(Failure::forbidden("wrong user or password"))
    }
}
