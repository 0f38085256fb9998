//! Somebody who comes for the first time picks a user name.

use std::sync::Arc;

use playhouse_actors::{house::HouseError, user::UserError};
use serde_json::json;

use super::{
    PICK_NAME,
    cookie::Newcomer,
    finish,
    register::{self, must_carry},
};
use crate::{
    edge::{App, Browser, Failure, Prepared, RawJson},
    pages::{Block, Field, Form, Page, Tone},
};

/// The page.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let newcomer = must_carry(&app, &browser)?;
    Ok(ask(&app, &browser, &newcomer, None))
}

/// Takes the name.
pub(super) async fn picked(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let mut newcomer = must_carry(&app, &browser)?;
    app.pages
        .check_seal(&browser, "sso-name", &newcomer.origin.subject)?;
    let language = browser.language;
    let localpart = browser.form.need("username")?.trim();
    let wrong = match app.free_user_id(localpart).await {
        Ok(_) => None,
        Err(HouseError::User(UserError::UserInUse)) => Some("sso.name_taken"),
        Err(HouseError::InvalidUsername(_)) => Some("sso.bad_name"),
        Err(error) => return Err(error.into()),
    };
    if let Some(wrong) = wrong {
        return Ok(ask(&app, &browser, &newcomer, Some(language.say(wrong))));
    }
    newcomer.chosen = Some(localpart.to_owned());
    register::go_on(&app, &browser, newcomer).await
}

/// Whether a name is free, for scripts.
pub(super) async fn check(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    must_carry(&app, &browser)?;
    let localpart = browser.query.need("username")?;
    let body = match app.free_user_id(localpart).await {
        Ok(_) => json!({ "available": true }),
        Err(HouseError::User(UserError::UserInUse)) => json!({ "available": false }),
        Err(HouseError::InvalidUsername(why)) => json!({ "error": why }),
        Err(error) => return Err(error.into()),
    };
    Ok(RawJson(body.to_string().into()).into())
}

fn ask(app: &App, browser: &Browser, newcomer: &Newcomer, wrong: Option<&str>) -> Prepared {
    let language = browser.language;
    let given = browser.form.get("username");
    let value = given.or(newcomer.suggested.as_deref()).unwrap_or_default();
    let field = Field::new("text", "username", language.say("sso.user"))
        .value(value)
        .hint(language.say("sso.user_hint"))
        .required();
    let form = Form::to(PICK_NAME)
        .sealed(&app.pages, "sso-name", &newcomer.origin.subject)
        .field(field)
        .submit(language.say("sso.continue"));
    let mut page = Page::new(language, language.say("sso.name_title"))
        .with(Block::text(language.say("sso.name_text")));
    if let Some(wrong) = wrong {
        page = page.with(Block::notice(Tone::Error, wrong));
    }
    if let Ok(url) = finish::client_address(&newcomer.redirect_url) {
        page = page.form_may_lead_to(&finish::origin(&url));
    }
    app.pages.show(page.with(form))
}
