//! Browsers that are let in: signing in and out.

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_actors::{
    house::{HouseError, Origin},
    passes::{PassError, PassKind},
    user::{UserError, message::Account},
};
use ruma::{OwnedUserId, UserId};
use url::form_urlencoded::byte_serialize;

use super::{ACCOUNT, RECOGNISED, SIGN_IN, SIGN_UP, legacy, offered, sign_up};
use crate::{
    client::session::password::account_by_password,
    config::Provider,
    edge::{App, Browser, Class, Failure, Prepared},
    pages::{Block, Cookie, Field, Form, Page, Tone},
};

/// The cookie of a browser that is let in.
const SESSION: &str = "playhouse_session";

/// The cookie of any browser that gets a form: it must come back from the same one.
pub(super) const VISIT: &str = "playhouse_visit";

/// The paths to which the cookies are sent.
const PATHS: &str = "/oauth2";

/// So long a form may wait.
const VISIT_LIFETIME_S: u64 = 2 * 60 * 60;

/// Who a browser belongs to.
pub(super) struct Known {
    pub(super) user_id: OwnedUserId,
    /// What the browser shows, to which its forms are bound.
    pub(super) cookie: String,
    /// By what another system recognised the person, if it did; it may end what begins so.
    pub(super) origin: Option<Origin>,
}

/// Who the browser belongs to, if it is let in and nothing has ended that: a new password does.
pub(super) async fn known(app: &Arc<App>, browser: &Browser) -> Result<Option<Known>, Failure> {
    let Some(cookie) = browser.cookie(SESSION).filter(|cookie| !cookie.is_empty()) else {
        return Ok(None);
    };
    let (user_id, seen) = match app.house.look_at_pass(PassKind::Browser, cookie).await {
        Ok(found) => found,
        Err(HouseError::Pass(PassError::Unknown)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let account = app.house.account(&user_id).await?;
    let (shown, origin) = seen.detail.split_once(' ').unwrap_or((&seen.detail, ""));
    let holds = !account.deactivated && !account.locked && shown == print(&account);
    Ok(holds.then(|| Known {
        user_id,
        cookie: cookie.to_owned(),
        origin: serde_json::from_str(origin).ok(),
    }))
}

/// As [`known`], for forms that only somebody who is let in can have.
pub(super) async fn must_be_known(app: &Arc<App>, browser: &Browser) -> Result<Known, Failure> {
    known(app, browser)
        .await?
        .ok_or_else(|| Failure::forbidden(browser.language.say("oauth.signed_out")))
}

/// Sends the browser to a path of ours.
pub(super) fn lead_to(path: &str) -> Result<Prepared, Failure> {
    let location = HeaderValue::from_str(path).map_err(Failure::internal)?;
    Ok(Prepared::text("")
        .with_status(StatusCode::SEE_OTHER)
        .with_header(header::LOCATION, location)
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// The page on which one signs in, to go on at a path of ours.
pub(super) fn sign_in(
    app: &Arc<App>,
    browser: &Browser,
    next: &str,
    wrong: Option<&str>,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let visit = visit(app, browser);
    let user = Field::new("text", "user", language.say("oauth.user"))
        .value(browser.form.get("user").unwrap_or_default())
        .autocomplete("username")
        .required();
    let password = Field::new("password", "password", language.say("oauth.password"))
        .autocomplete("current-password")
        .required();
    let form = Form::to(SIGN_IN)
        .hidden("next", next)
        .sealed(&app.pages, "oauth-sign-in", &bound(&visit, next))
        .field(user)
        .field(password)
        .submit(language.say("oauth.sign_in"));
    let mut page = told_wrong(
        Page::new(language, language.say("oauth.sign_in_title")),
        wrong,
    );
    page = page.with(form);
    let mut links = provider_links(app, browser, (&visit, next));
    if sign_up::stages(app).is_some() {
        let link = format!("{SIGN_UP}?next={}", encoded(next));
        links.push((language.say("oauth.no_account").to_owned(), link));
    }
    if !links.is_empty() {
        page = page.with(Block::links(links));
    }
    let page = legacy::on_the_way(page, next);
    Ok(with_visit(app, app.pages.show(page), &visit))
}

/// Links to the systems at which users have accounts by which they log in here; they lead back to [`recognised`].
fn provider_links(
    app: &App,
    browser: &Browser,
    (visit, next): (&str, &str),
) -> Vec<(String, String)> {
    let Some(base) = app.base_url(browser.host.as_deref()) else {
        return Vec::new();
    };
    let seal = app.pages.seal("oauth-recognised", &bound(visit, next));
    let back = format!(
        "{base}{RECOGNISED}?next={}&seal={}",
        encoded(next),
        encoded(&seal)
    );
    let link = |provider: &Provider| {
        let text = browser
            .language
            .tell("oauth.sign_in_with", &[("provider", &provider.name)]);
        let path = format!("/_matrix/client/v3/login/sso/redirect/{}", provider.id);
        (text, format!("{path}?redirectUrl={}", encoded(&back)))
    };
    app.config.sso.providers.iter().map(link).collect()
}

/// Lets a browser in whose user was recognised by another system.
pub(super) async fn recognised(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let next = next_of(browser.query.get("next"));
    let visit = browser.cookie(VISIT).unwrap_or_default();
    let seal = browser.query.need("seal")?;
    if !app
        .pages
        .is_sealed(seal, "oauth-recognised", &bound(visit, &next))
    {
        return Err(Failure::forbidden(browser.language.say("oauth.signed_out")));
    }
    let token = browser.query.need("loginToken")?;
    let (user_id, origin) = app.house.use_pass(PassKind::Login, token).await?;
    if app.house.account(&user_id).await?.locked {
        return Err(UserError::Locked.into());
    }
    let_in(&app, &browser, (&user_id, &origin), &next).await
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

/// Lets a browser in whose user knows the password.
pub(super) async fn signed_in(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let next = next_of(browser.form.get("next"));
    let visit = browser.cookie(VISIT).unwrap_or_default();
    app.pages
        .check_seal(&browser, "oauth-sign-in", &bound(visit, &next))?;
    let user = browser.form.need("user")?.trim();
    let password = browser.form.need("password")?;
    app.limiter.take_for(Class::Login, user).await?;
    match checked(&app, user, password).await? {
        Some(user_id) => let_in(&app, &browser, (&user_id, ""), &next).await,
        None => {
            let wrong = browser.language.say("oauth.wrong_password");
            sign_in(&app, &browser, &next, Some(wrong))
        }
    }
}

/// The account of a user who knows its password.
async fn checked(
    app: &Arc<App>,
    user: &str,
    password: &str,
) -> Result<Option<OwnedUserId>, Failure> {
    let password = password.to_owned();
    let Some(user_id) = account_by_password(app, user, password).await? else {
        return Ok(None);
    };
    let account = app.house.account(&user_id).await?;
    if account.locked {
        return Err(UserError::Locked.into());
    }
    Ok(Some(account.user_id))
}

/// Gives the browser its cookie and sends it on; `origin` is by what another system recognised the person, as JSON.
pub(super) async fn let_in(
    app: &Arc<App>,
    browser: &Browser,
    (user_id, origin): (&UserId, &str),
    next: &str,
) -> Result<Prepared, Failure> {
    let lifetime_ms = app.config.oauth.browser_lifetime_ms;
    let account = app.house.account(user_id).await?;
    let detail = format!("{} {origin}", print(&account));
    let token = app
        .house
        .make_pass(user_id, PassKind::Browser, lifetime_ms, detail)
        .await?;
    // Whoever was let in with this browser before is not any more.
    if let Some(old) = browser.cookie(SESSION) {
        app.house.end_pass(PassKind::Browser, old).await?;
    }
    let (name, value) = cookie(app, SESSION, &token, lifetime_ms / 1000).header();
    Ok(lead_to(next)?.with_header(name, value))
}

/// Ends that the browser is let in.
pub(super) async fn signed_out(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let known = must_be_known(&app, &browser).await?;
    app.pages
        .check_seal(&browser, "oauth-sign-out", &known.cookie)?;
    app.house.end_pass(PassKind::Browser, &known.cookie).await?;
    let (name, value) = cookie(&app, SESSION, "", 0).header();
    let next = next_of(browser.form.get("next"));
    Ok(lead_to(&next)?.with_header(name, value))
}

/// A path of these pages to go on at, whatever the form says.
pub(super) fn next_of(given: Option<&str>) -> String {
    let own = |next: &&str| {
        next.starts_with("/oauth2/")
            && next
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    given.filter(own).unwrap_or(ACCOUNT).to_owned()
}

/// What changes with the password, without telling it.
fn print(account: &Account) -> String {
    let hash = account.password_hash.as_deref().unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, hash.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

pub(super) fn told_wrong(page: Page, wrong: Option<&str>) -> Page {
    match wrong {
        Some(wrong) => page.with(Block::notice(Tone::Error, wrong)),
        None => page,
    }
}

pub(super) fn bound(visit: &str, next: &str) -> String {
    format!("{visit} {next}")
}

pub(super) fn visit(app: &App, browser: &Browser) -> String {
    match browser.cookie(VISIT) {
        Some(visit) if visit.len() >= 24 => visit.to_owned(),
        _ => app.env().random_string(24),
    }
}

pub(super) fn with_visit(app: &App, prepared: Prepared, visit: &str) -> Prepared {
    let (name, value) = cookie(app, VISIT, visit, VISIT_LIFETIME_S).header();
    prepared.with_header(name, value)
}

fn cookie<'a>(app: &App, name: &'static str, value: &'a str, lifetime_s: u64) -> Cookie<'a> {
    let url = app.config.server.client_url.as_deref();
    Cookie {
        name,
        value,
        path: PATHS,
        lifetime_s,
        secure: url.is_some_and(|url| url.starts_with("https://"))
            || app.config.listen.client_has_tls(),
        cross_site: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_on_at_our_own_pages_only() {
        for good in ["/oauth2/authorize?client_id=a", "/oauth2/link?user_code=A"] {
            assert_eq!(next_of(Some(good)), good);
        }
        for bad in [
            "https://evil.test/",
            "//evil.test/oauth2/",
            "/\\evil.test",
            "/_matrix/",
            "/oauth2/a\r\nb",
            "",
        ] {
            assert_eq!(next_of(Some(bad)), ACCOUNT);
        }
    }
}
