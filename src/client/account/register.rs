//! `POST /_matrix/client/*/register`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::{
    house::NewAccount,
    user::message::{LoggedIn, Login},
};
use ruma::{
    UserId,
    api::{
        client::{
            account::register::{LoginType, RegistrationKind, v3::Request},
            uiaa::AuthData,
        },
        error::ErrorCode,
    },
};
use serde_json::json;

use super::{flows, password_rules};
use crate::{
    client::threepid::{
        stage,
        validation::{self, Purpose},
    },
    edge::{
        App, Bridge, Failure, RawJson, Visitor, acted_for,
        uiaa::{Demand, Passed},
    },
    third_party::Check,
};

/// Makes an account for somebody who passes what the configuration demands.
pub(crate) async fn handle(
    app: Arc<App>,
    (visitor, bridge): (Visitor, Option<Arc<Bridge>>),
    request: Request,
) -> Result<RawJson, Failure> {
    if request.kind == RegistrationKind::Guest {
        return register_guest(&app, request).await;
    }
    if request.login_type == Some(LoginType::ApplicationService) {
        return register_bridged(&app, bridge.as_deref(), request).await;
    }
    // Both before the stages, so that nobody solves them in vain, and again when the account is made.
    if let Some(username) = &request.username {
        let user_id = app.house.available_user_id(username).await?;
        app.bridges.check_user(&user_id)?;
    }
    if let Some(password) = &request.password {
        password_rules::check(&app, password)?;
    }
    let passed = pass(&app, &visitor, &request).await?;
    app.third_party
        .spam_check
        .ask(
            Check::Register,
            || json!({"username": request.username, "address": visitor.address}),
        )
        .await?;
    if request.password.is_none() {
        return Err(Failure::missing_param("password is missing"));
    }
    let login = (!request.inhibit_login).then(|| login(&app, &request));
    let session = request
        .auth
        .as_ref()
        .and_then(AuthData::session)
        .unwrap_or_default();
    let token = passed.proofs.get(flows::TOKEN);
    let new = NewAccount {
        username: request.username,
        password: request.password,
        login,
        token: token.map(|token| (token.clone(), session.to_owned())),
        terms: flows::accepted(&app.config),
        ..NewAccount::default()
    };
    let made = match stage::use_up(&app, &passed.proofs, Purpose::Register).await? {
        Some(proven) => {
            validation::check_allowed(&app, &proven.address)?;
            app.house
                .must_have_room_for_newcomer(Some(&proven.address))
                .await?;
            app.house.register_with_threepid(new, proven).await?
        }
        None => {
            app.house.must_have_room_for_newcomer(None).await?;
            app.house.register(new).await?
        }
    };
    Ok(answer(&made.user_id, made.login))
}

/// An application service makes the account of one of its users: without proofs, and without a password.
async fn register_bridged(
    app: &Arc<App>,
    bridge: Option<&Bridge>,
    request: Request,
) -> Result<RawJson, Failure> {
    let username = request.username.as_deref();
    let username = username.ok_or_else(|| Failure::missing_param("username is missing"))?;
    let user_id = acted_for(app, bridge, username)?;
    let made = app
        .house
        .register(NewAccount {
            username: Some(user_id.localpart().to_owned()),
            login: (!request.inhibit_login).then(|| login(app, &request)),
            ..NewAccount::default()
        })
        .await?;
    Ok(answer(&made.user_id, made.login))
}

async fn register_guest(app: &Arc<App>, request: Request) -> Result<RawJson, Failure> {
    if !app.config.registration.guests {
        return Err(Failure::new(
            ErrorCode::GuestAccessForbidden,
            "guests are not let in here",
        ));
    }
    app.house.must_have_room_for_newcomer(None).await?;
    let made = app
        .house
        .register(NewAccount {
            guest: true,
            login: Some(login(app, &request)),
            ..NewAccount::default()
        })
        .await?;
    Ok(answer(&made.user_id, made.login))
}

async fn pass(app: &Arc<App>, visitor: &Visitor, request: &Request) -> Result<Passed, Failure> {
    let flows = flows::registration(&app.config);
    let flows: Vec<&[&'static str]> = flows.iter().map(Vec::as_slice).collect();
    let auth = request.auth.as_ref();
    let demand = Demand {
        scope: flows::REGISTER.to_owned(),
        flows: &flows,
    };
    app.interactive
        .pass(demand, auth, |_stage| {
            flows::check(app, auth, visitor.address)
        })
        .await
}

fn login(app: &App, request: &Request) -> Login {
    Login {
        // A guest's device is always new.
        device_id: request
            .device_id
            .clone()
            .filter(|_| request.kind != RegistrationKind::Guest),
        display_name: request.initial_device_display_name.clone(),
        refresh: request.refresh_token,
        access_lifetime_ms: app.config.registration.access_token_lifetime_ms,
    }
}

/// Written here and not by ruma, whose answer says `"device_id": null` when nobody was logged in.
fn answer(user_id: &UserId, login: Option<LoggedIn>) -> RawJson {
    let mut answer = json!({ "user_id": user_id });
    if let Some(login) = login {
        answer["access_token"] = json!(login.access_token);
        answer["device_id"] = json!(login.device_id);
        if let Some(refresh_token) = login.refresh_token {
            answer["refresh_token"] = json!(refresh_token);
        }
        if let Some(expires_in_ms) = login.expires_in_ms {
            answer["expires_in_ms"] = json!(expires_in_ms);
        }
    }
    RawJson(Bytes::from(answer.to_string()))
}
