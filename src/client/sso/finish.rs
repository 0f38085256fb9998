//! Who was recognised is sent back to the client, with a login token.

use std::sync::Arc;

use playhouse_actors::{passes::PassKind, user::UserError};
use ruma::UserId;
use url::Url;

use super::{CONFIRM, redirect::send_to};
use crate::{
    client::session::LOGIN_TOKEN_LIFETIME_MS,
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Form, Page},
};

/// Sends the browser on at once to addresses that the operator trusts; else asks first, so that no stranger's link can fetch a token.
pub(super) async fn page(
    app: &Arc<App>,
    browser: &Browser,
    user_id: &UserId,
    redirect_url: &str,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let trusted = &app.config.sso.client_whitelist;
    let own = app.base_url(browser.host.as_deref());
    let own = own.map(|base| format!("{base}/oauth2/"));
    let is_trusted = trusted
        .iter()
        .chain(&own)
        .any(|start| !start.is_empty() && redirect_url.starts_with(start.as_str()));
    if is_trusted {
        return send_back(app, user_id, redirect_url).await;
    }
    let url = client_address(redirect_url)?;
    let shown = match url.host_str() {
        Some(host) if is_web(&url) => host.to_owned(),
        _ => format!("{}:", url.scheme()),
    };
    let values = [("user", user_id.as_str()), ("client", &shown)];
    let form = Form::to(CONFIRM)
        .hidden("user_id", user_id.as_str())
        .hidden("redirect_url", redirect_url)
        .sealed(
            &app.pages,
            "sso-confirm",
            &binding(user_id.as_str(), redirect_url),
        )
        .submit(language.say("sso.continue"));
    let page = Page::new(language, language.say("sso.confirm_title"))
        .with(Block::text(language.tell("sso.confirm_text", &values)))
        .with(form)
        .form_may_lead_to(&origin(&url));
    Ok(app.pages.show(page))
}

/// The user has said yes.
pub(super) async fn confirmed(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let user_id = browser.form.need("user_id")?;
    let redirect_url = browser.form.need("redirect_url")?;
    app.pages
        .check_seal(&browser, "sso-confirm", &binding(user_id, redirect_url))?;
    let user_id =
        UserId::parse(user_id).map_err(|error| Failure::invalid_param(error.to_string()))?;
    send_back(&app, &user_id, redirect_url).await
}

fn binding(user_id: &str, redirect_url: &str) -> String {
    format!("{user_id} {redirect_url}")
}

async fn send_back(
    app: &Arc<App>,
    user_id: &UserId,
    redirect_url: &str,
) -> Result<Prepared, Failure> {
    let account = app.house.account(user_id).await?;
    if account.deactivated {
        return Err(UserError::Deactivated.into());
    }
    let token = app.house.make_pass(
        user_id,
        PassKind::Login,
        LOGIN_TOKEN_LIFETIME_MS,
        String::new(),
    );
    let token = token.await?;
    let mut url = client_address(redirect_url)?;
    url.query_pairs_mut().append_pair("loginToken", &token);
    send_to(url.as_str())
}

/// The address of a client: not one that would run as a script.
pub(super) fn client_address(redirect_url: &str) -> Result<Url, Failure> {
    let url = Url::parse(redirect_url)
        .ok()
        .filter(|url| !["javascript", "data", "vbscript"].contains(&url.scheme()));
    url.ok_or_else(|| Failure::invalid_param("redirectUrl is no address of a client"))
}

/// What of an address forms may lead to.
pub(super) fn origin(url: &Url) -> String {
    if is_web(url) {
        url.origin().ascii_serialization()
    } else {
        format!("{}:", url.scheme())
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}
