//! `POST /_synapse/client/oidc/backchannel_logout`: a provider tells that somebody logged out there (OpenID Connect Back-Channel Logout 1.0).

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_actors::house::LoggedOut;
use ruma::api::error::ErrorCode;
use serde_json::{Value, json};

use super::provider::Claims;
use crate::{
    config::{Provider, ProviderKind},
    edge::{App, Failure, Prepared, RawJson, Visit},
};

/// What a logout token must be about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// Tokens say that they are no older.
const AGE_S_MAX: u64 = 10 * 60;

/// Clocks may differ by so much.
const SKEW_S: u64 = 60;

/// Ends the sessions that began by whom the provider has logged out.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let mut providers = app.config.sso.providers.iter();
    if !providers.any(|provider| provider.kind == ProviderKind::Oidc) {
        return Err(Failure::new(
            ErrorCode::Unrecognized,
            "single sign-on by OpenID Connect is not offered here",
        ));
    }
    let form = visit.form().unwrap_or_default();
    let token = form.get("logout_token").unwrap_or_default();
    let gone = match gone(&app, token).await {
        Ok(gone) => gone,
        Err(reason) => {
            tracing::warn!(reason, "a logout by a provider was refused");
            return Ok(refused(&reason));
        }
    };
    let sessions = app.house.log_out_external(&gone).await?;
    tracing::info!(
        provider = gone.provider,
        sessions,
        "a provider has logged somebody out"
    );
    Ok(unkept(Prepared::text("")))
}

/// Whom a token is about, if a provider of ours signed it for us, and it was not used before.
async fn gone(app: &App, token: &str) -> Result<LoggedOut, String> {
    let now_ms = app.env().now_ms();
    let mut refused = "no provider of ours made the token".to_owned();
    for provider in named(app, token) {
        match app.providers.logged_out(provider, token, now_ms).await {
            Ok(claims) => {
                let gone = read(provider, &claims, now_ms / 1_000)?;
                let jti = claims
                    .get("jti")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let until_ms = now_ms + (AGE_S_MAX + 2 * SKEW_S) * 1_000;
                let name = format!("logout {} {jti}", provider.id);
                // A provider logs out without being asked, so nothing has begun here. Repeated after a node has died, a logout logs out once more.
                let noted = app.providers.used.note(&name, until_ms, None).await;
                if !noted.map_err(|error| error.to_string())? {
                    return Err("the token was used before".to_owned());
                }
                return Ok(gone);
            }
            Err(reason) => refused = reason,
        }
    }
    Err(refused)
}

/// The providers that a token says it is by. It is not believed yet.
fn named<'a>(app: &'a App, token: &str) -> impl Iterator<Item = &'a Provider> {
    let claims = token.split('.').nth(1);
    let claims = claims.and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
    let issuer = claims.and_then(|claims| Some(claims.get("iss")?.as_str()?.to_owned()));
    app.config.sso.providers.iter().filter(move |provider| {
        let same =
            |issuer: &String| issuer.trim_end_matches('/') == provider.issuer.trim_end_matches('/');
        provider.kind == ProviderKind::Oidc && issuer.as_ref().is_some_and(same)
    })
}

/// Reads the claims of a token whose signature, issuer, audience and end are right (section 2.6).
fn read(provider: &Provider, claims: &Claims, now_s: u64) -> Result<LoggedOut, String> {
    let text = |name: &str| {
        let text = claims.get(name).and_then(Value::as_str);
        text.filter(|text| (1..=512).contains(&text.len()))
            .map(str::to_owned)
    };
    if claims.contains_key("nonce") {
        return Err("the token is an identity, not a logout".to_owned());
    }
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err("the token is about something else".to_owned());
    }
    let made_s = claims.get("iat").and_then(Value::as_f64).unwrap_or(0.0) as u64;
    if made_s > now_s + SKEW_S || made_s + AGE_S_MAX + SKEW_S < now_s {
        return Err("the token was not made now".to_owned());
    }
    if text("jti").is_none() {
        return Err("the token has no name of its own".to_owned());
    }
    // Accounts here may go by another claim, which this token does not tell.
    let subject = text("sub").filter(|_| provider.subject_claim == "sub");
    let sid = text("sid");
    if subject.is_none() && sid.is_none() {
        return Err("the token names nobody".to_owned());
    }
    Ok(LoggedOut {
        provider: provider.id.clone(),
        subject,
        sid,
    })
}

fn refused(reason: &str) -> Prepared {
    let body = json!({ "error": "invalid_request", "error_description": reason });
    unkept(RawJson(body.to_string().into()).into()).with_status(StatusCode::BAD_REQUEST)
}

fn unkept(prepared: Prepared) -> Prepared {
    prepared.with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_logout_is_a_logout() {
        let provider: Provider = serde_json::from_value(
            json!({ "id": "a", "name": "A", "issuer": "https://a.test", "client_id": "c" }),
        )
        .unwrap();
        let good =
            json!({ "iat": 1_000, "jti": "j", "sub": "s", "sid": "t", "events": { EVENT: {} } });
        let read = |change: Value| {
            let mut claims = good.as_object().unwrap().clone();
            for (name, value) in change.as_object().unwrap() {
                match value {
                    Value::Null => drop(claims.remove(name)),
                    value => drop(claims.insert(name.clone(), value.clone())),
                }
            }
            read(&provider, &claims, 1_030)
        };
        let gone = read(json!({})).unwrap();
        assert_eq!(
            (gone.subject.as_deref(), gone.sid.as_deref()),
            (Some("s"), Some("t"))
        );
        assert!(read(json!({"sid": null})).is_ok());
        assert!(read(json!({"sub": null})).is_ok());
        for bad in [
            json!({"nonce": "n"}),
            json!({"events": null}),
            json!({"events": { "other": {} }}),
            json!({"events": { EVENT: true }}),
            json!({"iat": null}),
            json!({"iat": 100}),
            json!({"iat": 2_000}),
            json!({"jti": null}),
            json!({"sub": null, "sid": null}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
