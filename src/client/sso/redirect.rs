//! `GET /_matrix/client/*/login/sso/redirect[/{idpId}]`: the client sends its user's browser here.

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use ruma::api::error::ErrorCode;
use url::form_urlencoded::byte_serialize;

use super::{
    CALLBACK, PICK_PROVIDER, REDIRECT, cas, cookie,
    cookie::{Begun, Purpose},
    finish::client_address,
    provider::Sent,
    saml,
};
use crate::{
    client::oauth,
    config::{Provider, ProviderKind},
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Page, SEAL_LIFETIME_MS},
};

/// An address to which a client wants its user sent back has at most so many bytes: it must fit into a cookie.
const REDIRECT_BYTES_MAX: usize = 1_500;

/// To this server's own pages, when a client that knows of OAuth asks or there is nothing else; to the only provider, or to the page where one picks one.
pub(super) async fn any(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let redirect_url = redirect_url(&browser)?;
    let action = browser.query.get("action");
    let has_providers = !app.config.sso.providers.is_empty();
    // Clients that do not say what they want know nothing of our pages, but know that there are providers.
    if (action.is_some() || !has_providers)
        && oauth::leads_legacy_clients(&app, browser.host.as_deref())
    {
        return send_to(&oauth::legacy_path(redirect_url, action));
    }
    match app.config.sso.providers.as_slice() {
        [] => Err(Failure::new(
            ErrorCode::Unrecognized,
            "single sign-on is not offered here",
        )),
        [only] => {
            let purpose = Purpose::Login(redirect_url.to_owned());
            begin(&app, &browser, only, purpose).await
        }
        _ => send_to(&format!(
            "{PICK_PROVIDER}?redirectUrl={}",
            encoded(redirect_url)
        )),
    }
}

/// To one provider.
pub(super) async fn one(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let redirect_url = redirect_url(&browser)?;
    let id = browser.path.first().map_or("", String::as_str);
    let provider = provider(&app, id)?;
    let purpose = Purpose::Login(redirect_url.to_owned());
    begin(&app, &browser, provider, purpose).await
}

/// The page where one picks a provider.
pub(super) async fn pick(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let redirect_url = encoded(redirect_url(&browser)?);
    let language = browser.language;
    let links = app.config.sso.providers.iter().map(|provider| {
        let link = format!("{REDIRECT}/{}?redirectUrl={redirect_url}", provider.id);
        (provider.name.clone(), link)
    });
    let page = Page::new(language, language.say("sso.pick_title"))
        .with(Block::text(language.say("sso.pick_text")))
        .with(Block::links(links));
    Ok(app.pages.show(page))
}

/// A provider by its ID.
pub(super) fn provider<'a>(app: &'a App, id: &str) -> Result<&'a Provider, Failure> {
    let mut providers = app.config.sso.providers.iter();
    providers
        .find(|provider| provider.id == id)
        .ok_or_else(|| Failure::not_found("unknown identity provider"))
}

/// Where providers send browsers back to.
pub(super) fn callback(app: &App, browser: &Browser) -> Result<String, Failure> {
    let base = app.base_url(browser.host.as_deref());
    let base = base.ok_or_else(|| Failure::not_found("no client URL is configured"))?;
    Ok(format!("{base}{CALLBACK}"))
}

/// Sends a browser somewhere.
pub(super) fn send_to(address: &str) -> Result<Prepared, Failure> {
    let location = HeaderValue::from_str(address).map_err(|_| {
        Failure::invalid_param("the address has characters that addresses cannot have")
    })?;
    Ok(Prepared::text("")
        .with_status(StatusCode::FOUND)
        .with_header(header::LOCATION, location)
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// The address to which the client wants its user sent back.
pub(crate) fn redirect_url(browser: &Browser) -> Result<&str, Failure> {
    let url = browser.query.need("redirectUrl")?;
    if url.len() > REDIRECT_BYTES_MAX {
        return Err(Failure::invalid_param("redirectUrl is too long"));
    }
    client_address(url)?;
    Ok(url)
}

/// Sends a browser to a provider.
pub(super) async fn begin(
    app: &Arc<App>,
    browser: &Browser,
    provider: &Provider,
    purpose: Purpose,
) -> Result<Prepared, Failure> {
    let env = app.env();
    if provider.kind == ProviderKind::Saml {
        // First: what began before its end can be noted is not believed.
        let until_ms = env.now_ms() + SEAL_LIFETIME_MS;
        app.providers.used.attend(until_ms).await?;
    }
    let begun = Begun {
        provider: provider.id.clone(),
        kind: provider.kind,
        purpose,
        state: env.random_string(24),
        nonce: env.random_string(24),
        verifier: env.random_string(64),
        begun_ms: env.now_ms(),
    };
    let address = match provider.kind {
        ProviderKind::Oidc => {
            let sent = Sent {
                begun: &begun,
                callback: &callback(app, browser)?,
            };
            app.providers.address(provider, &sent, env.now_ms()).await
        }
        ProviderKind::Cas => cas::address(app, browser, provider, &begun),
        ProviderKind::Saml => saml::address(app, browser, provider, &begun),
    };
    let address = address.map_err(|reason| {
        tracing::warn!(
            provider = provider.id,
            reason,
            "a provider of single sign-on fails"
        );
        Failure::new(
            ErrorCode::Unknown,
            browser.language.say("sso.provider_fails"),
        )
        .with_status(502)
    })?;
    cookie::with(app, send_to(&address)?, &begun)
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
