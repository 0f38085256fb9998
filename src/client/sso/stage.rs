//! `m.login.sso` as a stage of user-interactive authentication: the person is recognised once more, and says yes to what a program wants to do.

use std::sync::Arc;

use playhouse_actors::house::Origin;
use ruma::{OwnedUserId, UserId};
use url::form_urlencoded::byte_serialize;

use super::{CONFIRM, cookie::Purpose, redirect};
use crate::{
    client::web,
    config::Provider,
    edge::{App, Browser, Failure, Prepared, uiaa::Standing},
    pages::{Block, Form, Language, Page},
};

/// The stage.
pub(crate) const SSO: &str = "m.login.sso";

/// What the seal of the last form is for.
const PURPOSE: &str = "sso-stage";

/// Whether a user is offered this stage: who has no password, and who comes by single sign-on.
pub(crate) async fn is_for(
    app: &App,
    user_id: &UserId,
    has_password: bool,
) -> Result<bool, Failure> {
    if app.config.sso.providers.is_empty() {
        return Ok(false);
    }
    Ok(!has_password || !theirs(app, user_id).await?.is_empty())
}

/// The first page of the stage: on to the provider.
pub(crate) async fn begin(app: &Arc<App>, browser: &Browser) -> Result<Prepared, Failure> {
    let session = browser.query.need("session")?;
    let language = browser.language;
    let (user_id, _) = asked(app, session, language).await?;
    let mut offered = theirs(app, &user_id).await?;
    if offered.is_empty() {
        offered = app.config.sso.providers.iter().collect();
    }
    let named = browser.query.get("provider");
    let mut fitting = offered
        .iter()
        .filter(|provider| named.is_none_or(|named| provider.id == named));
    if let (Some(provider), None) = (fitting.next(), fitting.next()) {
        let purpose = Purpose::Stage(session.to_owned());
        return redirect::begin(app, browser, provider, purpose).await;
    }
    let encoded: String = byte_serialize(session.as_bytes()).collect();
    let links = offered.iter().map(|provider| {
        let path = format!("/_matrix/client/v3/auth/{SSO}/fallback/web");
        let link = format!("{path}?session={encoded}&provider={}", provider.id);
        (provider.name.clone(), link)
    });
    let page = Page::new(language, language.say("sso.again_title"))
        .with(Block::text(
            language.tell("sso.again_text", &[("user", user_id.as_str())]),
        ))
        .with(Block::links(links));
    Ok(app.pages.show(page))
}

/// Somebody was recognised: the user of the session, or nobody who may go on.
///
/// Asks before the stage is passed, since a stranger's link may have led here.
pub(super) async fn proven(
    app: &Arc<App>,
    browser: &Browser,
    (session, origin): (&str, &Origin),
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let (user_id, operation) = asked(app, session, language).await?;
    let owner = app
        .house
        .user_of_external(&origin.provider, &origin.subject)
        .await?;
    if owner.as_ref() != Some(&user_id) {
        return Err(Failure::forbidden(language.say("sso.other_person")));
    }
    let values = [
        ("user", user_id.as_str()),
        ("operation", described(&operation, language)),
    ];
    let form = Form::to(CONFIRM)
        .hidden("user_id", user_id.as_str())
        .hidden("session", session)
        .sealed(&app.pages, PURPOSE, &format!("{user_id} {session}"))
        .submit(language.say("sso.continue"));
    let page = Page::new(language, language.say("sso.again_title"))
        .with(Block::text(language.tell("sso.again_confirm", &values)))
        .with(form);
    Ok(app.pages.show(page))
}

/// The user has said yes.
pub(super) async fn confirmed(
    app: &App,
    browser: &Browser,
    (session, user_id): (&str, &UserId),
) -> Result<Prepared, Failure> {
    let (asked, _) = asked(app, session, browser.language).await?;
    app.pages
        .check_seal(browser, PURPOSE, &format!("{user_id} {session}"))?;
    if asked != *user_id {
        let other = browser.language.say("sso.other_person");
        return Err(Failure::forbidden(other));
    }
    app.interactive
        .complete(session, SSO, String::new())
        .await?;
    Ok(app.pages.show(web::done(browser)))
}

/// Who must pass the stage in a session, and for what.
async fn asked(
    app: &App,
    session: &str,
    language: Language,
) -> Result<(OwnedUserId, String), Failure> {
    let no_session = || Failure::not_found(language.say("web.no_session"));
    match app.interactive.standing(session, SSO).await? {
        Standing::NoSession => return Err(no_session()),
        Standing::NotAsked => {
            return Err(Failure::invalid_param(language.say("web.not_asked")));
        }
        Standing::Awaited | Standing::Passed => {}
    }
    let scope = app.interactive.scope(session).await?;
    let scope = scope.ok_or_else(no_session)?;
    let (operation, user_id) = scope.rsplit_once(' ').ok_or_else(no_session)?;
    let user_id = UserId::parse(user_id).map_err(|_| no_session())?;
    Ok((user_id, operation.to_owned()))
}

/// The providers by which a user comes.
async fn theirs<'a>(app: &'a App, user_id: &UserId) -> Result<Vec<&'a Provider>, Failure> {
    let identities = app.house.externals_of(user_id).await?;
    let has = |provider: &&Provider| {
        let mut identities = identities.iter();
        identities.any(|identity| identity.provider == provider.id)
    };
    Ok(app.config.sso.providers.iter().filter(has).collect())
}

/// What an operation does, for people.
fn described(operation: &str, language: Language) -> &'static str {
    let words = [
        ("account/password", "sso.does_password"),
        ("account/deactivate", "sso.does_deactivate"),
        ("account/3pid/add", "sso.does_address"),
        ("login/get_token", "sso.does_login"),
        ("delete_device", "sso.does_devices"),
        ("devices/", "sso.does_devices"),
        ("keys/", "sso.does_keys"),
    ];
    let known = words.iter().find(|(start, _)| operation.contains(start));
    language.say(known.map_or("sso.does_something", |(_, text)| *text))
}
