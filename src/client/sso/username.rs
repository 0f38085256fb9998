//! Somebody who comes for the first time picks a user name.

use std::sync::Arc;

use playhouse_actors::{house::HouseError, user::UserError};
use serde_json::json;

use super::{
    PICK_NAME,
    callback::make_account,
    cookie::{self, Newcomer},
    finish,
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

/// Makes the account.
pub(super) async fn picked(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let newcomer = must_carry(&app, &browser)?;
    app.pages
        .check_seal(&browser, "sso-name", &newcomer.subject)?;
    let language = browser.language;
    let localpart = browser.form.need("username")?.trim();
    // Somebody may have come by another browser in the meantime.
    let known = app
        .house
        .user_of_external(&newcomer.provider, &newcomer.subject)
        .await?;
    let user_id = match known {
        Some(user_id) => user_id,
        None => match make_account(&app, &newcomer, localpart).await {
            Ok(user_id) => user_id,
            Err(HouseError::User(UserError::UserInUse)) => {
                return Ok(ask(
                    &app,
                    &browser,
                    &newcomer,
                    Some(language.say("sso.name_taken")),
                ));
            }
            Err(HouseError::InvalidUsername(_)) => {
                return Ok(ask(
                    &app,
                    &browser,
                    &newcomer,
                    Some(language.say("sso.bad_name")),
                ));
            }
            Err(error) => return Err(error.into()),
        },
    };
    let page = finish::page(&app, &browser, &user_id, &newcomer.redirect_url).await?;
    Ok(cookie::without::<Newcomer>(&app, page))
}

/// Whether a name is free, for scripts.
pub(super) async fn check(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    must_carry(&app, &browser)?;
    let localpart = browser.query.need("username")?;
    let body = match app.house.available_user_id(localpart).await {
        Ok(_) => json!({ "available": true }),
        Err(HouseError::User(UserError::UserInUse)) => json!({ "available": false }),
        Err(HouseError::InvalidUsername(why)) => json!({ "error": why }),
        Err(error) => return Err(error.into()),
    };
    Ok(RawJson(body.to_string().into()).into())
}

fn must_carry(app: &App, browser: &Browser) -> Result<Newcomer, Failure> {
    cookie::carried(app, browser)
        .ok_or_else(|| Failure::invalid_param(browser.language.say("sso.begin_again")))
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
        .sealed(&app.pages, "sso-name", &newcomer.subject)
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
