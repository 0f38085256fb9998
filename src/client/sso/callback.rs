//! The browser comes back from the provider: who is it here?

use std::sync::Arc;

use playhouse_actors::{
    house::{HouseError, Origin},
    user::UserError,
};
use ruma::{OwnedUserId, UserId, api::error::ErrorCode};
use serde_json::Value;

use super::{
    cookie::{self, Begun, Newcomer, Purpose},
    finish::{self, Admitted},
    mapping::{self, text},
    provider::{Claims, Sent},
    redirect::{callback, provider},
    register, stage,
};
use crate::{
    canary,
    config::{Provider, ProviderKind},
    edge::{App, Browser, Failure, Prepared},
};

/// Names at a provider have at most so many bytes.
const SUBJECT_BYTES_MAX: usize = 512;

/// Somebody whom a provider has recognised.
pub(super) struct Recognised {
    /// What it says of them.
    pub(super) claims: Claims,
    /// What it calls its session.
    pub(super) sid: Option<String>,
}

/// Recognises somebody by OpenID Connect.
pub(super) async fn come_back(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let state = browser.query.get("state");
    let (begun, provider) = must_have_begun(&app, &browser, (state, ProviderKind::Oidc))?;
    if browser.query.get("error").is_some() {
        let language = browser.language;
        return Err(Failure::forbidden(language.say("sso.not_recognised")));
    }
    let callback = callback(&app, &browser)?;
    let sent = Sent {
        begun: &begun,
        callback: &callback,
    };
    let shown = (browser.query.need("code")?, &sent);
    let now_ms = app.env().now_ms();
    match app.providers.claims(provider, shown, now_ms).await {
        Ok(claims) => {
            let sid = text(&claims, "sid").map(str::to_owned);
            let person = Recognised { claims, sid };
            recognised(&app, &browser, &begun, person).await
        }
        Err(reason) => Err(unusable(&browser, provider, &reason)),
    }
}

/// What has begun in this browser, if the provider sent it back with what it was given.
pub(super) fn must_have_begun<'a>(
    app: &'a App,
    browser: &Browser,
    (state, kind): (Option<&str>, ProviderKind),
) -> Result<(Begun, &'a Provider), Failure> {
    let begun: Option<Begun> = cookie::carried(app, browser);
    let begun = begun.filter(|begun| state == Some(begun.state.as_str()) && begun.kind == kind);
    let begun =
        begun.ok_or_else(|| Failure::invalid_param(browser.language.say("sso.begin_again")))?;
    let provider = provider(app, &begun.provider)?;
    if provider.kind != kind {
        return Err(Failure::not_found("unknown identity provider"));
    }
    Ok((begun, provider))
}

/// What the provider said cannot be believed. Why is for the operator.
pub(super) fn unusable(browser: &Browser, provider: &Provider, reason: &str) -> Failure {
    tracing::warn!(
        provider = provider.id,
        reason,
        "somebody was not recognised"
    );
    Failure::new(
        ErrorCode::Unknown,
        browser.language.say("sso.provider_fails"),
    )
    .with_status(502)
}

/// Goes on with somebody whom a provider has recognised; asks newcomers for a name and the terms when it must.
pub(super) async fn recognised(
    app: &Arc<App>,
    browser: &Browser,
    begun: &Begun,
    person: Recognised,
) -> Result<Prepared, Failure> {
    let provider = provider(app, &begun.provider)?;
    let language = browser.language;
    if !has_required(provider, &person.claims) {
        return Err(Failure::forbidden(language.say("sso.not_allowed")));
    }
    let origin = origin(provider, &person)
        .ok_or_else(|| Failure::forbidden(language.say("sso.not_recognised")))?;
    let redirect_url = match &begun.purpose {
        Purpose::Login(redirect_url) => redirect_url.clone(),
        Purpose::Stage(session) => {
            let page = stage::proven(app, browser, (session, &origin)).await?;
            return Ok(cookie::without(app, page, begun));
        }
    };
    let known = app
        .house
        .user_of_external(&origin.provider, &origin.subject)
        .await?;
    let proposed = mapping::proposed(provider, &person.claims);
    let newcomer = Newcomer {
        redirect_url,
        suggested: proposed.localpart,
        displayname: proposed.displayname,
        email: proposed.email,
        origin,
        chosen: None,
        accepted: Vec::new(),
    };
    let page = match known {
        Some(user_id) => {
            let admitted = Admitted {
                user_id,
                redirect_url: newcomer.redirect_url,
                origin: Some(newcomer.origin),
            };
            finish::page(app, browser, &admitted).await?
        }
        None => first_time(app, browser, (provider, newcomer)).await?,
    };
    Ok(cookie::without(app, page, begun))
}

fn has_required(provider: &Provider, claims: &Claims) -> bool {
    let fits = |value: &Value, wanted: &str| match value {
        Value::String(text) => wanted.is_empty() || text == wanted,
        Value::Null => false,
        value => {
            let text = value.to_string();
            wanted.is_empty() || text == wanted
        }
    };
    provider
        .required_claims
        .iter()
        .all(|(name, wanted)| match claims.get(name) {
            Some(Value::Array(values)) => values.iter().any(|value| fits(value, wanted)),
            Some(value) => fits(value, wanted),
            None => false,
        })
}

fn origin(provider: &Provider, person: &Recognised) -> Option<Origin> {
    let fits = |name: &&str| (1..=SUBJECT_BYTES_MAX).contains(&name.len());
    Some(Origin {
        provider: provider.id.clone(),
        subject: text(&person.claims, &provider.subject_claim)
            .filter(fits)?
            .to_owned(),
        sid: person.sid.as_deref().filter(fits).map(str::to_owned),
    })
}

/// Somebody comes for the first time: to an account that is there already, or to a new one.
async fn first_time(
    app: &Arc<App>,
    browser: &Browser,
    (provider, mut newcomer): (&Provider, Newcomer),
) -> Result<Prepared, Failure> {
    if let Some(localpart) = newcomer.suggested.clone() {
        match app.free_user_id(&localpart).await {
            Ok(_) if provider.pick_username => {}
            Ok(_) => newcomer.chosen = Some(localpart),
            Err(HouseError::User(UserError::UserInUse)) if provider.allow_existing_users => {
                let user_id = existing(app, &localpart)?;
                if app.house.is_notifier(&user_id) || canary::owns(app, &user_id).await? {
                    return Err(Failure::forbidden("this account is the server's own"));
                }
                register::link(app, &newcomer.origin, &user_id).await?;
                let admitted = Admitted {
                    user_id,
                    redirect_url: newcomer.redirect_url,
                    origin: Some(newcomer.origin),
                };
                return finish::page(app, browser, &admitted).await;
            }
            Err(HouseError::User(UserError::UserInUse) | HouseError::InvalidUsername(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    register::go_on(app, browser, newcomer).await
}

fn existing(app: &App, localpart: &str) -> Result<OwnedUserId, Failure> {
    let user_id = format!("@{localpart}:{}", app.env().server_name());
    UserId::parse(user_id).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::has_required;
    use crate::config::Provider;

    #[test]
    fn claims_can_be_required() {
        let provider: Provider = serde_json::from_value(json!({
            "id": "a", "name": "A", "issuer": "https://a.test",
            "required_claims": { "group": "staff", "mail": "" },
        }))
        .unwrap();
        let may = |claims: serde_json::Value| has_required(&provider, claims.as_object().unwrap());
        assert!(may(json!({"group": "staff", "mail": "a@b"})));
        assert!(may(json!({"group": ["guests", "staff"], "mail": true})));
        assert!(!may(json!({"group": ["guests"], "mail": "a@b"})));
        assert!(!may(json!({"group": "staff"})));
        assert!(!may(json!({"group": "staff", "mail": []})));
    }
}
