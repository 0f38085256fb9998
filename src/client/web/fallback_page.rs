//! `GET /_matrix/client/*/auth/{auth_type}/fallback/web`

use std::sync::Arc;

use crate::{
    client::sso::stage::{self as sso, SSO},
    config::Captcha,
    edge::{App, Browser, Failure, Prepared, uiaa::Standing},
    pages::{Block, Field, Form, Page, Script, Tone},
    third_party::{RECAPTCHA, TERMS},
};

/// Tells the client that the stage is passed (client-server API, "Fallback").
const DONE: &str = include_str!("../../../ops/pages/auth-done.js");

/// What seals of these forms are for.
pub(super) const PURPOSE: &str = "authentication stage";

/// Shows a stage of user-interactive authentication to somebody whose client does not know it.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let session = browser.query.need("session")?.to_owned();
    let is_sso = browser.path.first().is_some_and(|stage| stage == SSO);
    if is_sso && app.interactive.standing(&session, SSO).await? == Standing::Awaited {
        return sso::begin(&app, &browser).await;
    }
    let page = stage(&app, &browser, &session, None).await?;
    Ok(app.pages.show(page))
}

/// The page of a stage, with what went wrong the last time.
pub(super) async fn stage(
    app: &App,
    browser: &Browser,
    session: &str,
    trouble: Option<&str>,
) -> Result<Page, Failure> {
    let language = browser.language;
    let stage = browser.path.first().map_or("", String::as_str);
    match app.interactive.standing(session, stage).await? {
        Standing::NoSession => {
            return Err(Failure::not_found(language.say("web.no_session")));
        }
        Standing::NotAsked => {
            return Err(Failure::invalid_param(language.say("web.not_asked")));
        }
        Standing::Passed => return Ok(done(browser)),
        Standing::Awaited => {}
    }
    let form = Form::to("")
        .hidden("session", session)
        .sealed(&app.pages, PURPOSE, session);
    let page = |title| {
        let page = Page::new(language, language.say(title)).framed();
        match trouble {
            Some(trouble) => page.with(Block::notice(Tone::Error, trouble)),
            None => page,
        }
    };
    Ok(match stage {
        TERMS => page("web.terms_title")
            .with(Block::text(language.say("web.terms_text")))
            .with(super::policies(&app.config.consent.policies, language))
            .with(
                form.field(
                    Field::new("checkbox", "accept", language.say("web.terms_accept"))
                        .value("yes")
                        .required(),
                )
                .submit(language.say("web.continue")),
            ),
        RECAPTCHA => captcha_scripts(&app.config.captcha, page("web.captcha_title"))
            .with(Block::text(language.say("web.captcha_text")))
            .with(Block::no_script(language.say("web.captcha_needs_script")))
            .with(
                form.field(
                    Field::new("recaptcha", "g-recaptcha-response", "")
                        .value(app.config.captcha.site_key.clone().unwrap_or_default()),
                )
                .submit(language.say("web.continue")),
            ),
        "m.login.registration_token" => page("web.token_title")
            .with(Block::text(language.say("web.token_text")))
            .with(
                form.field(Field::new("text", "token", language.say("web.token")).required())
                    .submit(language.say("web.continue")),
            ),
        "m.login.dummy" => page("web.dummy_title")
            .with(Block::text(language.say("web.dummy_text")))
            .with(form.submit(language.say("web.continue"))),
        "m.login.email.identity" => {
            page("web.email_title").with(Block::text(language.say("web.email_text")))
        }
        _ => page("web.other_title").with(Block::text(language.say("web.other_text"))),
    })
}

/// The page that ends the detour.
pub(crate) fn done(browser: &Browser) -> Page {
    let language = browser.language;
    Page::new(language, language.say("web.done_title"))
        .with(Block::notice(Tone::Success, language.say("web.done_text")))
        .script(Script::Inline(DONE))
        .framed()
}

fn captcha_scripts(captcha: &Captcha, page: Page) -> Page {
    let origins = captcha.script_origins.iter().cloned();
    origins.fold(
        page.script(Script::From(captcha.script_url.clone())),
        |page, origin| page.script(Script::Origin(origin)),
    )
}
