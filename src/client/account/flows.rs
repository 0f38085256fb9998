//! The stages of registration: which there are, and what passes them.

use std::{net::IpAddr, sync::Arc};

use ruma::api::{client::uiaa::AuthData, error::ErrorCode};

use crate::{
    client::threepid::{
        stage::{self, EMAIL, MSISDN},
        validation::Purpose,
    },
    config::Config,
    edge::{App, Failure},
    third_party::{RECAPTCHA, TERMS},
};

/// The scope of registration's sessions.
pub(crate) const REGISTER: &str = "register";

const DUMMY: &str = "m.login.dummy";

/// The stage that is passed by a registration token.
pub(crate) const TOKEN: &str = "m.login.registration_token";

/// Which stages there are follows from the configuration: with registration closed, a token is the only way in.
pub(crate) fn registration(config: &Config) -> Vec<Vec<&'static str>> {
    let policy = &config.registration;
    let mut stages = Vec::new();
    if !policy.enabled || policy.token_required {
        stages.push(TOKEN);
    }
    if config.captcha.site_key.is_some() {
        stages.push(RECAPTCHA);
    }
    if config.consent.at_registration && !config.consent.policies.is_empty() {
        stages.push(TERMS);
    }
    let with = |stage| [stages.as_slice(), &[stage]].concat();
    let mut flows = Vec::new();
    if config.email.host.is_some() {
        flows.push(with(EMAIL));
    }
    if config.identity.msisdn_delegate.is_some() && !config.email.required_at_registration {
        flows.push(with(MSISDN));
    }
    if flows.is_empty() {
        return vec![if stages.is_empty() {
            vec![DUMMY]
        } else {
            stages
        }];
    }
    if !config.email.required_at_registration {
        // The dummy tells who goes without an address from who has not proven it yet.
        flows.insert(0, with(DUMMY));
    }
    flows
}

/// The version of the terms that everybody accepts who passes the stages.
pub(crate) fn accepted(config: &Config) -> Option<String> {
    let consent = &config.consent;
    consent.at_registration.then(|| consent.version()).flatten()
}

/// Checks what a client says of a stage, and gives what it proved.
pub(crate) async fn check(
    app: &Arc<App>,
    auth: Option<&AuthData>,
    address: IpAddr,
) -> Result<String, Failure> {
    match auth {
        Some(AuthData::Dummy(_) | AuthData::Terms(_)) => Ok(String::new()),
        Some(AuthData::RegistrationToken(given)) => {
            hold_token(
                app,
                &given.token,
                given.session.as_deref().unwrap_or_default(),
            )
            .await
        }
        Some(auth @ (AuthData::EmailIdentity(_) | AuthData::Msisdn(_))) => {
            stage::check(app, auth, Purpose::Register).await
        }
        Some(AuthData::ReCaptcha(given)) => {
            app.third_party
                .check_captcha(&app.config.captcha, &given.response, address)
                .await?;
            Ok(String::new())
        }
        _ => Err(Failure::bad_json("this stage is not understood")),
    }
}

/// Keeps one use of a registration token for a session; the token is what that proves.
pub(crate) async fn hold_token(app: &App, token: &str, session: &str) -> Result<String, Failure> {
    if app.house.hold_registration_token(token, session).await? {
        Ok(token.to_owned())
    } else {
        Err(Failure::new(
            ErrorCode::Unauthorized,
            "invalid registration token",
        ))
    }
}
