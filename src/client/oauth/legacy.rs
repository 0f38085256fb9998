//! Clients of the older API, led by `/login/sso/redirect` to the pages on which everybody signs in (client-server API, "OAuth 2.0 aware clients").

use std::sync::Arc;

use url::form_urlencoded;

use super::{LEGACY, browser, offered, sign_up};
use crate::{
    client::sso::{
        finish::{self, Admitted},
        redirect::redirect_url,
    },
    edge::{App, Browser, Failure, Fields, Prepared},
    pages::Page,
};

/// What the person wants who has no account yet.
const REGISTER: &str = "register";

/// What a person wants whom this browser belongs to no more.
const OTHER: &str = "other";

/// Whether clients of the older API are led to these pages.
pub(crate) fn leads_legacy_clients(app: &App, host: Option<&str>) -> bool {
    app.config.oauth.legacy_login && offered(app, host).is_ok()
}

/// Where they are led to.
pub(crate) fn path(redirect_url: &str, action: Option<&str>) -> String {
    let start = format!("{LEGACY}?");
    let length = start.len();
    let mut path = form_urlencoded::Serializer::for_suffix(start, length);
    path.append_pair("redirectUrl", redirect_url);
    // Anything else is not ours to carry on.
    if let Some(action) = action.filter(|action| [REGISTER, OTHER].contains(action)) {
        path.append_pair("action", action);
    }
    path.finish()
}

/// Lets the person sign in or make an account, and then sends the browser back to the client with a login token.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    if !app.config.oauth.legacy_login {
        return Err(Failure::not_found("there is no such page"));
    }
    let redirect_url = redirect_url(&browser)?;
    let here = path(redirect_url, None);
    match browser.query.get("action") {
        Some(REGISTER) if sign_up::stages(&app).is_some() => {
            return sign_up::show(&app, &browser, &here, None);
        }
        Some(OTHER) => return browser::sign_in(&app, &browser, &here, None),
        _ => {}
    }
    let Some(known) = browser::known(&app, &browser).await? else {
        return browser::sign_in(&app, &browser, &here, None);
    };
    let other = browser.language.say("oauth.other_account").to_owned();
    let links = vec![(other, path(redirect_url, Some(OTHER)))];
    let admitted = Admitted {
        user_id: known.user_id,
        redirect_url: redirect_url.to_owned(),
        origin: known.origin,
    };
    finish::page_with(&app, &browser, &admitted, links).await
}

/// A page whose form may end at a client that waits, when it is one that the operator trusts.
pub(super) fn on_the_way(page: Page, next: &str) -> Page {
    let query = next
        .strip_prefix(LEGACY)
        .and_then(|rest| rest.strip_prefix('?'));
    let query = Fields::parse(query.unwrap_or_default());
    let waiting = query.get("redirectUrl").map(finish::client_address);
    match waiting {
        Some(Ok(url)) => page.form_may_lead_to(&finish::origin(&url)),
        _ => page,
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn only_known_actions_are_carried_on() {
        let plain = "/oauth2/sso?redirectUrl=https%3A%2F%2Fa.test%2F%3Fb%3Dc%26d";
        let url = "https://a.test/?b=c&d";
        assert_eq!(path(url, None), plain);
        assert_eq!(path(url, Some("login")), plain);
        assert_eq!(
            path(url, Some("register")),
            format!("{plain}&action=register")
        );
    }
}
