//! The stages of user-interactive authentication that accounts pass.

use std::sync::Arc;

use ruma::{
    UserId,
    api::client::uiaa::{AuthData, UserIdentifier},
};

use crate::{
    client::{
        session::{
            login::login_name,
            password::{has_password, is_password},
        },
        sso::stage::{self as sso, SSO},
    },
    edge::{
        App, Class, Failure, Session,
        uiaa::{Demand, Passed},
    },
};

const PASSWORD: &str = "m.login.password";

/// Proves again who somebody is who has a session already: by the password of the account, or by single sign-on.
pub(crate) async fn prove_identity(
    app: &Arc<App>,
    caller: &Session,
    operation: &str,
    auth: Option<&AuthData>,
) -> Result<Passed, Failure> {
    let user_id = &caller.user_id;
    let has_password = has_password(app, &app.house.account(user_id).await?);
    let flows: &[&[&'static str]] = match sso::is_for(app, user_id, has_password).await? {
        true if has_password => &[&[PASSWORD], &[SSO]],
        true => &[&[SSO]],
        false => &[&[PASSWORD]],
    };
    let demand = Demand {
        scope: format!("{operation} {user_id}"),
        flows,
    };
    app.interactive
        .pass(demand, auth, async |stage| match stage.as_str() {
            // The pages of the stage pass it; the client only says that it believes they did.
            SSO => Err(Failure::forbidden("this stage is passed in the browser")),
            _ => check_password(app, user_id, auth).await,
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
    app.limiter.take_for(Class::Login, user_id.as_str()).await?;
    if is_password(app, user_id, password.password.clone()).await? {
        Ok(String::new())
    } else {
        Err(Failure::forbidden("wrong user or password"))
    }
}
