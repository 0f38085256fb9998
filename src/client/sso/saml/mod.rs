//! SAML 2.0: this server as a service provider. Questions go out by redirect, answers come back by a form.
//!
//! An answer is bound to the browser that asked: its question's ID and the state stand in the sealed cookie. A question is answered once.

mod canon;
mod instant;
mod keys;
mod request;
mod response;
mod signature;

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::Node;
use ruma::api::error::ErrorCode;

use super::{
    ANSWER_SAML, METADATA_SAML,
    callback::{Recognised, must_have_begun, recognised, unusable},
    cookie::Begun,
};
use crate::{
    config::{Provider, ProviderKind},
    edge::{App, Browser, Failure, Prepared, Visit},
    pages::SEAL_LIFETIME_MS,
};
use request::{Ourselves, Question};
use response::Expected;

/// What this server is to providers; `M_UNRECOGNIZED` without one.
fn ourselves(app: &App, host: Option<&str>) -> Result<Ourselves, Failure> {
    let mut providers = app.config.sso.providers.iter();
    let base = app
        .base_url(host)
        .filter(|_| providers.any(|provider| provider.kind == ProviderKind::Saml));
    let base =
        base.ok_or_else(|| Failure::new(ErrorCode::Unrecognized, "SAML is not offered here"))?;
    Ok(Ourselves {
        entity_id: format!("{base}{METADATA_SAML}"),
        consumer: format!("{base}{ANSWER_SAML}"),
    })
}

/// `GET /_synapse/client/saml2/metadata.xml`
pub(super) async fn metadata(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let host = visit.header(actix_web::http::header::HOST);
    let metadata = ourselves(&app, host)?.metadata();
    let kind = HeaderValue::from_static("application/samlmetadata+xml");
    Ok(Prepared::bytes(kind, metadata))
}

/// Where a browser is sent to be recognised.
pub(super) fn address(
    app: &App,
    browser: &Browser,
    provider: &Provider,
    begun: &Begun,
) -> Result<String, String> {
    let ourselves = ourselves(app, browser.host.as_deref());
    let ourselves = ourselves.map_err(|failure| failure.message().to_owned())?;
    let question = Question {
        id: &request_id(begun),
        state: &begun.state,
        again: begun.is_again(),
        now_ms: app.env().now_ms(),
    };
    ourselves.address(provider.sso_url.as_deref().unwrap_or_default(), &question)
}

/// `POST /_synapse/client/saml2/authn_response`
pub(super) async fn come_back(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let state = browser.form.get("RelayState");
    let (begun, provider) = must_have_begun(&app, &browser, (state, ProviderKind::Saml))?;
    let encoded = browser.form.need("SAMLResponse")?;
    let ourselves = ourselves(&app, browser.host.as_deref())?;
    match believed(&app, provider, &begun, (encoded, &ourselves)).await {
        Ok(person) => recognised(&app, &browser, &begun, person).await,
        Err(reason) => Err(unusable(&browser, provider, &reason)),
    }
}

async fn believed(
    app: &App,
    provider: &Provider,
    begun: &Begun,
    (encoded, ourselves): (&str, &Ourselves),
) -> Result<Recognised, String> {
    let encoded: String = encoded.split_ascii_whitespace().collect();
    let xml = STANDARD
        .decode(encoded)
        .map_err(|error| error.to_string())?;
    let xml = std::str::from_utf8(&xml).map_err(|error| error.to_string())?;
    let request_id = request_id(begun);
    let now_ms = app.env().now_ms();
    let asserted = response::read(
        xml,
        &Expected {
            issuer: &provider.issuer,
            keys: &keys::keys_of(provider).await?,
            audience: &ourselves.entity_id,
            recipient: &ourselves.consumer,
            request_id: &request_id,
            now_ms,
        },
    )?;
    // After this the browser's cookie is not believed any more, and without it no answer.
    let until_ms = now_ms + SEAL_LIFETIME_MS;
    for id in [&asserted.id, &request_id] {
        let name = format!("{} {id}", provider.id);
        let used = &app.providers.used;
        let noted = used.note(&name, until_ms, Some(begun.begun_ms)).await;
        if !noted.map_err(|error| error.to_string())? {
            return Err("this answer was used before, or may have been".to_owned());
        }
    }
    Ok(Recognised {
        claims: asserted.claims,
        sid: asserted.session,
    })
}

/// IDs begin with a letter or `_`.
fn request_id(begun: &Begun) -> String {
    format!("_{}", begun.nonce)
}

/// The text of an element in which nothing else stands.
fn text_of(element: Node<'_, '_>) -> Result<String, String> {
    let mut text = String::new();
    for child in element.children() {
        match child.text().filter(|_| child.is_text()) {
            Some(piece) => text.push_str(piece),
            None => return Err("there is more than text".to_owned()),
        }
    }
    Ok(text)
}

fn is_blank(node: Node<'_, '_>) -> bool {
    let text = node.text().unwrap_or_default();
    node.is_text() && text.chars().all(|letter| letter.is_ascii_whitespace())
}
