//! Devices without a browser ask to be let in (RFC 8628); their user types a code on a page.

use std::sync::Arc;

use actix_web::http::header;
use playhouse_actors::oauth::DeviceWish;
use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::{
    LINK,
    answer::{Refusal, told},
    browser::{self, Known},
    client::DEVICE_CODE,
    code::{self, Allowed},
    offered,
    scope::Scope,
    token::need,
};
use crate::{
    edge::{App, Browser, Failure, Prepared, Visit},
    pages::{Block, Button, Field, Form, Page, Tone},
};

/// Gives a device its codes.
pub(super) async fn ask(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let base = offered(&app, visit.header(header::HOST))?;
    told(codes(&app, &visit, &base).await)
}

async fn codes(app: &Arc<App>, visit: &Visit, base: &str) -> Result<Value, Refusal> {
    let form = visit
        .form()
        .ok_or_else(|| Refusal::invalid_request("the body is no form"))?;
    let client_id = need(&form, "client_id")?;
    let client = code::client_of(app, client_id).await?;
    if !client.uses(DEVICE_CODE) {
        return Err(Refusal::new(
            "unauthorized_client",
            "the client did not register for this",
        ));
    }
    let scope = Scope::parse(need(&form, "scope")?)?;
    let wish = DeviceWish {
        client_id: client_id.to_owned(),
        scope: scope.granted(),
    };
    let codes = app.house.ask_for_device(wish).await?;
    Ok(json!({
        "device_code": codes.device_code,
        "user_code": codes.user_code,
        "verification_uri": format!("{base}{LINK}"),
        "verification_uri_complete": format!("{base}{LINK}?user_code={}", codes.user_code),
        "expires_in": codes.lifetime_ms / 1000,
        "interval": codes.interval_ms / 1000,
    }))
}

/// Asks for the code, or whether the device that shows it shall be let in.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let user_code = browser.query.get("user_code").unwrap_or_default();
    let encoded: String = byte_serialize(user_code.as_bytes()).collect();
    let here = format!("{LINK}?user_code={encoded}");
    let Some(known) = browser::known(&app, &browser).await? else {
        return browser::sign_in(&app, &browser, &here, None);
    };
    if user_code.is_empty() {
        return Ok(ask_for_code(&app, &browser, None));
    }
    let Some(wish) = app.house.device_wish(user_code).await? else {
        let unknown = browser.language.say("oauth.unknown_code");
        return Ok(ask_for_code(&app, &browser, Some(unknown)));
    };
    confirm(&app, &browser, (&known, user_code), &wish).await
}

/// Takes the user's decision.
pub(super) async fn decide(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let known = browser::must_be_known(&app, &browser).await?;
    let user_code = browser.form.need("user_code")?.to_owned();
    app.pages
        .check_seal(&browser, "oauth-link", &binding(&known, &user_code))?;
    let language = browser.language;
    let Some(wish) = app.house.device_wish(&user_code).await? else {
        let unknown = language.say("oauth.unknown_code");
        return Ok(ask_for_code(&app, &browser, Some(unknown)));
    };
    let allowed = browser.form.get("decision") == Some("allow");
    let code = if allowed {
        let allowed = Allowed {
            client_id: wish.client_id,
            scope: wish.scope,
            sent: None,
            origin: known.origin.clone(),
        };
        Some(code::make(&app, &known.user_id, &allowed).await?)
    } else {
        None
    };
    let settled = app.house.settle_device(&user_code, code).await?;
    let (tone, text) = match (settled, allowed) {
        (false, _) => (Tone::Error, "oauth.unknown_code"),
        (true, true) => (Tone::Success, "oauth.device_allowed"),
        (true, false) => (Tone::Info, "oauth.device_denied"),
    };
    let page = Page::new(language, language.say("oauth.link_title"))
        .with(Block::notice(tone, language.say(text)));
    Ok(app.pages.show(page))
}

fn binding(known: &Known, user_code: &str) -> String {
    format!("{} {user_code}", known.cookie)
}

fn ask_for_code(app: &App, browser: &Browser, wrong: Option<&str>) -> Prepared {
    let language = browser.language;
    let mut page = Page::new(language, language.say("oauth.link_title"));
    if let Some(wrong) = wrong {
        page = page.with(Block::notice(Tone::Error, wrong));
    }
    let field = Field::new("text", "user_code", language.say("oauth.code")).required();
    let form = Form::to(super::LINK_CODE)
        .field(field)
        .submit(language.say("oauth.continue"));
    app.pages.show(page.with(form))
}

/// The code that was typed leads to the page that it belongs to.
pub(super) async fn typed(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let user_code = browser.form.need("user_code")?;
    let encoded: String = byte_serialize(user_code.as_bytes()).collect();
    browser::lead_to(&format!("{LINK}?user_code={encoded}"))
}

async fn confirm(
    app: &Arc<App>,
    browser: &Browser,
    (known, user_code): (&Known, &str),
    wish: &DeviceWish,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let client = code::client_of(app, &wish.client_id)
        .await
        .map_err(|refusal| Failure::not_found(refusal.why))?;
    let scope = Scope::parse(&wish.scope).map_err(|refusal| Failure::invalid_param(refusal.why))?;
    let rows = [
        (language.say("oauth.client"), client.name().to_owned()),
        (
            language.say("oauth.client_address"),
            client.client_uri.clone(),
        ),
        (language.say("oauth.account"), known.user_id.to_string()),
        (language.say("oauth.device"), scope.device_id.to_string()),
        (language.say("oauth.code"), user_code.to_owned()),
    ];
    let form = Form::to(LINK)
        .hidden("user_code", user_code)
        .sealed(&app.pages, "oauth-link", &binding(known, user_code))
        .button(Button::new(language.say("oauth.allow")).telling("decision", "allow"))
        .button(
            Button::new(language.say("oauth.deny"))
                .telling("decision", "deny")
                .secondary(),
        );
    let page = Page::new(language, language.say("oauth.link_title"))
        .with(Block::text(language.say("oauth.link_text")))
        .with(Block::facts(
            rows.map(|(name, value)| (name.to_owned(), value)),
        ))
        .with(form);
    Ok(app.pages.show(page))
}
