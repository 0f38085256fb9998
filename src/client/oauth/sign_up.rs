//! Making an account by a browser: under the same conditions as by a client (`POST /register`).

use std::sync::Arc;

use playhouse_actors::{
    house::{HouseError, NewAccount},
    user::UserError,
};
use ruma::OwnedUserId;

use super::{
    SIGN_UP,
    browser::{VISIT, bound, let_in, next_of, told_wrong, visit, with_visit},
    legacy, offered,
};
use crate::{
    client::{
        account::{
            flows::{self, TOKEN},
            password_rules,
        },
        web,
    },
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Field, Form, Page, Script},
    third_party::{RECAPTCHA, TERMS},
};

/// What one must do to get an account here; nothing when there is a stage that these pages do not know, or no way in at all.
pub(super) fn stages(app: &App) -> Option<Vec<&'static str>> {
    let policy = &app.config.registration;
    if !policy.enabled && !policy.token_required {
        return None;
    }
    let known = |stage: &&str| ["m.login.dummy", TOKEN, RECAPTCHA, TERMS].contains(stage);
    let mut flows = flows::registration(&app.config).into_iter();
    flows.find(|stages| stages.iter().all(known))
}

/// The page on which one makes an account.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let next = next_of(browser.query.get("next"));
    show(&app, &browser, &next, None)
}

/// The same page, to go on at a path of ours afterwards.
pub(super) fn show(
    app: &Arc<App>,
    browser: &Browser,
    next: &str,
    wrong: Option<&str>,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let stages = stages(app).ok_or_else(|| Failure::forbidden(language.say("oauth.closed")))?;
    let visit = visit(app, browser);
    let given = |name: &str| browser.form.get(name).unwrap_or_default().to_owned();
    let user = Field::new("text", "user", language.say("oauth.user"))
        .value(given("user"))
        .autocomplete("username")
        .required();
    let new_password = |name, label| {
        Field::new("password", name, language.say(label))
            .autocomplete("new-password")
            .required()
    };
    let mut form = Form::to(SIGN_UP)
        .hidden("next", next)
        .sealed(&app.pages, "oauth-sign-up", &bound(&visit, next))
        .field(user)
        .field(new_password("password", "oauth.password"))
        .field(new_password("again", "oauth.password_again"));
    let title = language.say("oauth.sign_up_title");
    let mut page = told_wrong(Page::new(language, title), wrong);
    if stages.contains(&TOKEN) {
        let field = Field::new("text", "token", language.say("oauth.registration_token"));
        form = form.field(field.value(given("token")).required());
    }
    if stages.contains(&TERMS) {
        page = page
            .with(Block::text(language.say("web.terms_text")))
            .with(web::policies(&app.config.consent.policies, language));
        let accept = Field::new("checkbox", "accept", language.say("web.terms_accept"));
        form = form.field(accept.value("yes").required());
    }
    if stages.contains(&RECAPTCHA) {
        let key = app.config.captcha.site_key.clone().unwrap_or_default();
        form = form.field(Field::new("recaptcha", "g-recaptcha-response", "").value(key));
        page = page.script(Script::From(app.config.captcha.script_url.clone()));
    }
    let page = page.with(form.submit(language.say("oauth.sign_up")));
    let page = legacy::on_the_way(page, next);
    Ok(with_visit(app, app.pages.show(page), &visit))
}

/// Makes an account and lets the browser in.
pub(super) async fn signed_up(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    offered(&app, browser.host.as_deref())?;
    let next = next_of(browser.form.get("next"));
    let visit = browser.cookie(VISIT).unwrap_or_default();
    app.pages
        .check_seal(&browser, "oauth-sign-up", &bound(visit, &next))?;
    match make_account(&app, &browser).await {
        Ok(user_id) => let_in(&app, &browser, (&user_id, ""), &next).await,
        Err(failure) if failure.status() < 429 => {
            show(&app, &browser, &next, Some(failure.message()))
        }
        Err(failure) => Err(failure),
    }
}

async fn make_account(app: &Arc<App>, browser: &Browser) -> Result<OwnedUserId, Failure> {
    let language = browser.language;
    let form = &browser.form;
    let stages = stages(app).ok_or_else(|| Failure::forbidden(language.say("oauth.closed")))?;
    let username = form.need("user")?.trim().to_owned();
    let password = form.need("password")?.to_owned();
    if form.get("again") != Some(password.as_str()) {
        return Err(Failure::invalid_param(language.say("oauth.not_the_same")));
    }
    let length_min = app.config.registration.password_length_min;
    if (password.chars().count() as u64) < length_min {
        let told = language.tell("oauth.too_short", &[("length", &length_min.to_string())]);
        return Err(Failure::invalid_param(told));
    }
    password_rules::check(app, &password)?;
    match app.free_user_id(&username).await {
        Err(HouseError::User(UserError::UserInUse)) => {
            return Err(Failure::invalid_param(language.say("oauth.name_taken")));
        }
        outcome => outcome?,
    };
    if stages.contains(&TERMS) && form.get("accept") != Some("yes") {
        return Err(Failure::forbidden(language.say("web.terms_needed")));
    }
    if stages.contains(&RECAPTCHA) {
        let solution = form.get("g-recaptcha-response").unwrap_or_default();
        let address = browser.visitor.address;
        app.third_party
            .check_captcha(&app.config.captcha, solution, address)
            .await?;
    }
    app.house.must_have_room_for_newcomer(None).await?;
    let mut token = None;
    if stages.contains(&TOKEN) {
        let given = form.need("token")?.trim();
        let session = app.env().random_string(24);
        if !app.house.hold_registration_token(given, &session).await? {
            return Err(Failure::invalid_param(language.say("oauth.bad_token")));
        }
        token = Some((given.to_owned(), session));
    }
    let made = app.house.register(NewAccount {
        username: Some(username),
        password: Some(password),
        token,
        terms: flows::accepted(&app.config),
        ..NewAccount::default()
    });
    Ok(made.await?.user_id)
}
