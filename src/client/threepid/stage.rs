//! The stages that are passed by proving to have an address.

use playhouse_actors::threepid::{SessionId, ThreepidError, Validation};
use ruma::api::{client::uiaa::AuthData, error::ErrorCode};

use super::validation::Purpose;
use crate::edge::{App, Failure};

/// By a mail address.
pub(crate) const EMAIL: &str = "m.login.email.identity";

/// By a phone number.
pub(crate) const MSISDN: &str = "m.login.msisdn";

/// What a session has proven: one of ours, or one of the delegate for phone numbers.
pub(super) async fn proven(
    app: &App,
    (sid, secret): (&str, &str),
    purpose: Purpose,
) -> Result<Option<Validation>, Failure> {
    if SessionId::parse(sid).is_some() {
        return Ok(app.house.proven(sid, secret, purpose.as_str()).await?);
    }
    if app.third_party.knows_phones() {
        return app.third_party.proven_phone(sid, secret).await;
    }
    Ok(None)
}

/// What a session has proven, which is used up by that.
pub(super) async fn spend(
    app: &App,
    (sid, secret): (&str, &str),
    purpose: Purpose,
) -> Result<Validation, Failure> {
    if SessionId::parse(sid).is_some() {
        return Ok(app.house.use_proof(sid, secret, purpose.as_str()).await?);
    }
    let proven = proven(app, (sid, secret), purpose).await?;
    Ok(proven.ok_or(ThreepidError::Invalid)?)
}

/// Checks the stage. What it proves names the session.
pub(crate) async fn check(app: &App, auth: &AuthData, purpose: Purpose) -> Result<String, Failure> {
    let creds = match auth {
        AuthData::EmailIdentity(given) => &given.thirdparty_id_creds,
        AuthData::Msisdn(given) => &given.thirdparty_id_creds,
        _ => return Err(Failure::bad_json("this stage needs an address")),
    };
    let (sid, secret) = (creds.sid.as_str(), creds.client_secret.as_str());
    let is_email = matches!(auth, AuthData::EmailIdentity(_));
    let proven = proven(app, (sid, secret), purpose).await?;
    let proven = proven.filter(|proven| (proven.address.medium.as_str() == "email") == is_email);
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

/// Uses what one of these stages has proven, once; nothing when none was passed.
pub(crate) async fn use_up(
    app: &App,
    proofs: &std::collections::BTreeMap<&'static str, String>,
    purpose: Purpose,
) -> Result<Option<Validation>, Failure> {
    let Some(proof) = proofs.get(EMAIL).or_else(|| proofs.get(MSISDN)) else {
        return Ok(None);
    };
    let session = proof
        .split_once(' ')
        .ok_or_else(|| Failure::internal("a stage's proof names no session"))?;
    spend(app, session, purpose).await.map(Some)
}
