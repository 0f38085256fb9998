//! The browser comes back from the provider: who is it here?

use std::sync::Arc;

use playhouse_actors::{
    externals::ExternalError,
    house::{HouseError, NewAccount},
    user::UserError,
};
use ruma::{OwnedUserId, UserId, api::error::ErrorCode};
use serde_json::Value;

use super::{
    PICK_NAME,
    cookie::{self, Begun, Newcomer},
    finish,
    provider::{Claims, Sent},
    redirect::{callback, provider, send_to},
};
use crate::{
    config::Provider,
    edge::{App, Browser, Failure, Prepared},
};

/// Names at a provider have at most so many bytes.
const SUBJECT_BYTES_MAX: usize = 512;

/// A display name is cut: it must fit into a cookie.
const NAME_CHARACTERS_MAX: usize = 100;

/// Recognises somebody; asks newcomers for a name when it must.
pub(super) async fn come_back(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let begun: Option<Begun> = cookie::carried(&app, &browser);
    let begun = begun.filter(|begun| browser.query.get("state") == Some(begun.state.as_str()));
    let begun = begun.ok_or_else(|| Failure::invalid_param(language.say("sso.begin_again")))?;
    let provider = provider(&app, &begun.provider)?;
    if browser.query.get("error").is_some() {
        return Err(Failure::forbidden(language.say("sso.not_recognised")));
    }
    let callback = callback(&app, &browser)?;
    let sent = Sent {
        state: &begun.state,
        nonce: &begun.nonce,
        verifier: &begun.verifier,
        callback: &callback,
    };
    let shown = (browser.query.need("code")?, &sent);
    let now_ms = app.env().now_ms();
    let claims = app.providers.claims(provider, shown, now_ms).await;
    let claims = claims.map_err(|reason| {
        tracing::warn!(
            provider = provider.id,
            reason,
            "somebody was not recognised"
        );
        Failure::new(ErrorCode::Unknown, language.say("sso.provider_fails")).with_status(502)
    })?;
    let newcomer = newcomer(provider, &claims, begun.redirect_url)
        .ok_or_else(|| Failure::forbidden(language.say("sso.not_recognised")))?;
    let user_id = app
        .house
        .user_of_external(&provider.id, &newcomer.subject)
        .await?;
    let user_id = match user_id {
        Some(user_id) => Some(user_id),
        None => mapped(&app, provider, &newcomer).await?,
    };
    match user_id {
        Some(user_id) => {
            let page = finish::page(&app, &browser, &user_id, &newcomer.redirect_url).await?;
            Ok(cookie::without::<Begun>(&app, page))
        }
        None => cookie::with(&app, send_to(PICK_NAME)?, &newcomer),
    }
}

fn newcomer(provider: &Provider, claims: &Claims, redirect_url: String) -> Option<Newcomer> {
    let text = |claim: &str| claims.get(claim).and_then(Value::as_str);
    let subject = text("sub").filter(|sub| (1..=SUBJECT_BYTES_MAX).contains(&sub.len()))?;
    Some(Newcomer {
        provider: provider.id.clone(),
        subject: subject.to_owned(),
        redirect_url,
        suggested: text(&provider.localpart_claim).and_then(as_localpart),
        displayname: text(&provider.display_name_claim)
            .map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect()),
    })
}

/// A user name out of a name elsewhere: of an address the part before the `@`, and only what user names may have.
fn as_localpart(name: &str) -> Option<String> {
    let name = name.split('@').next().unwrap_or_default();
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "._=-/+".contains(*letter))
        .take(100)
        .collect();
    let kept = kept.trim_start_matches('_');
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// The account of somebody who comes for the first time; `None` when they must pick a name.
async fn mapped(
    app: &Arc<App>,
    provider: &Provider,
    newcomer: &Newcomer,
) -> Result<Option<OwnedUserId>, Failure> {
    let Some(localpart) = &newcomer.suggested else {
        return Ok(None);
    };
    match app.house.available_user_id(localpart).await {
        Ok(_) if provider.pick_username => Ok(None),
        Ok(_) => match make_account(app, newcomer, localpart).await {
            Ok(user_id) => Ok(Some(user_id)),
            Err(HouseError::User(UserError::UserInUse)) => Ok(None),
            Err(error) => Err(error.into()),
        },
        Err(HouseError::User(UserError::UserInUse)) if provider.allow_existing_users => {
            let user_id = format!("@{localpart}:{}", app.env().server_name());
            let user_id = UserId::parse(user_id).map_err(Failure::internal)?;
            link(app, newcomer, &user_id).await?;
            Ok(Some(user_id))
        }
        Err(HouseError::User(UserError::UserInUse) | HouseError::InvalidUsername(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the account and links it.
pub(super) async fn make_account(
    app: &Arc<App>,
    newcomer: &Newcomer,
    localpart: &str,
) -> Result<OwnedUserId, HouseError> {
    let made = app.house.register(NewAccount {
        username: Some(localpart.to_owned()),
        password: None,
        admin: false,
        guest: false,
        user_type: None,
        displayname: newcomer.displayname.clone(),
        login: None,
        token: None,
    });
    let user_id = made.await?.user_id;
    link(app, newcomer, &user_id).await?;
    Ok(user_id)
}

async fn link(app: &Arc<App>, newcomer: &Newcomer, user_id: &UserId) -> Result<(), HouseError> {
    let linked = app
        .house
        .link_external(&newcomer.provider, &newcomer.subject, user_id)
        .await;
    match linked {
        // Two browsers of one person at once.
        Err(HouseError::External(ExternalError::Taken)) => Err(HouseError::Forbidden(
            "this identity belongs to another account by now".to_owned(),
        )),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::as_localpart;

    #[test]
    fn names_elsewhere_become_user_names() {
        assert_eq!(
            as_localpart("Anna.B@example.org").as_deref(),
            Some("anna.b")
        );
        assert_eq!(as_localpart("__Änne Ö").as_deref(), Some("nne"));
        assert_eq!(as_localpart("ÄÖ"), None);
        assert_eq!(as_localpart(""), None);
    }
}
