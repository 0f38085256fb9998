//! Who was recognised is sent back to the client, with a login token.

use std::sync::Arc;

use playhouse_actors::{house::Origin, passes::PassKind, user::UserError};
use ruma::{OwnedUserId, UserId};
use url::Url;

use super::{CONFIRM, redirect::send_to, stage};
use crate::{
    client::session::LOGIN_TOKEN_LIFETIME_MS,
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Form, Page},
};

/// Somebody who has an account here and was recognised.
pub(crate) struct Admitted {
    pub(crate) user_id: OwnedUserId,
    /// Where the client waits.
    pub(crate) redirect_url: String,
    /// By which other system, if by one.
    pub(crate) origin: Option<Origin>,
}

impl Admitted {
    /// By what, as it goes with passes.
    fn origin(&self) -> Result<String, Failure> {
        match &self.origin {
            Some(origin) => serde_json::to_string(origin).map_err(Failure::internal),
            None => Ok(String::new()),
        }
    }

    fn binding(&self) -> Result<String, Failure> {
        let origin = self.origin()?;
        Ok(format!("{} {} {origin}", self.user_id, self.redirect_url))
    }
}

/// Sends the browser on at once to addresses that the operator trusts; else asks first, so that no stranger's link can fetch a token.
pub(super) async fn page(
    app: &Arc<App>,
    browser: &Browser,
    admitted: &Admitted,
) -> Result<Prepared, Failure> {
    page_with(app, browser, admitted, Vec::new()).await
}

/// The same, with links for whoever would rather be somebody else.
pub(crate) async fn page_with(
    app: &Arc<App>,
    browser: &Browser,
    admitted: &Admitted,
    links: Vec<(String, String)>,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let redirect_url = &admitted.redirect_url;
    let trusted = &app.config.sso.client_whitelist;
    let own = app.base_url(browser.host.as_deref());
    let own = own.map(|base| format!("{base}/oauth2/"));
    let is_trusted = trusted
        .iter()
        .chain(&own)
        .any(|start| !start.is_empty() && redirect_url.starts_with(start.as_str()));
    if is_trusted {
        return send_back(app, admitted).await;
    }
    let url = client_address(redirect_url)?;
    let shown = match url.host_str() {
        Some(host) if is_web(&url) => host.to_owned(),
        _ => format!("{}:", url.scheme()),
    };
    let values = [("user", admitted.user_id.as_str()), ("client", &shown)];
    let form = Form::to(CONFIRM)
        .hidden("user_id", admitted.user_id.as_str())
        .hidden("redirect_url", redirect_url)
        .hidden("origin", admitted.origin()?)
        .sealed(&app.pages, "sso-confirm", &admitted.binding()?)
        .submit(language.say("sso.continue"));
    let mut page = Page::new(language, language.say("sso.confirm_title"))
        .with(Block::text(language.tell("sso.confirm_text", &values)))
        .with(form)
        .form_may_lead_to(&origin(&url));
    if !links.is_empty() {
        page = page.with(Block::links(links));
    }
    Ok(app.pages.show(page))
}

/// The user has said yes.
pub(super) async fn confirmed(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let user_id = browser.form.need("user_id")?;
    let user_id =
        UserId::parse(user_id).map_err(|error| Failure::invalid_param(error.to_string()))?;
    if let Some(session) = browser.form.get("session") {
        return stage::confirmed(&app, &browser, (session, &user_id)).await;
    }
    let admitted = Admitted {
        user_id,
        redirect_url: browser.form.need("redirect_url")?.to_owned(),
        origin: match browser.form.get("origin").unwrap_or_default() {
            "" => None,
            origin => Some(serde_json::from_str(origin)?),
        },
    };
    app.pages
        .check_seal(&browser, "sso-confirm", &admitted.binding()?)?;
    send_back(&app, &admitted).await
}

async fn send_back(app: &Arc<App>, admitted: &Admitted) -> Result<Prepared, Failure> {
    let account = app.house.account(&admitted.user_id).await?;
    if account.deactivated {
        return Err(UserError::Deactivated.into());
    }
    let token = app.house.make_pass(
        &admitted.user_id,
        PassKind::Login,
        LOGIN_TOKEN_LIFETIME_MS,
        admitted.origin()?,
    );
    let token = token.await?;
    let mut url = client_address(&admitted.redirect_url)?;
    url.query_pairs_mut().append_pair("loginToken", &token);
    send_to(url.as_str())
}

/// The address of a client: not one that would run as a script.
pub(crate) fn client_address(redirect_url: &str) -> Result<Url, Failure> {
    let url = Url::parse(redirect_url)
        .ok()
        .filter(|url| !["javascript", "data", "vbscript"].contains(&url.scheme()));
    url.ok_or_else(|| Failure::invalid_param("redirectUrl is no address of a client"))
}

/// What of an address forms may lead to.
pub(crate) fn origin(url: &Url) -> String {
    if is_web(url) {
        url.origin().ascii_serialization()
    } else {
        format!("{}:", url.scheme())
    }
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}
