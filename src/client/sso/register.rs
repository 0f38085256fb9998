//! A first sign-in, step by step: a name, the terms, the account. What is settled the browser carries on.

use std::sync::Arc;

use playhouse_actors::{
    externals::ExternalError,
    house::{HouseError, NewAccount, Origin},
    threepid::Address,
    user::UserError,
};
use ruma::UserId;

use super::{
    CONSENT, PICK_NAME, REGISTER,
    cookie::{self, Newcomer},
    finish::{self, Admitted},
    redirect::{provider, send_to},
};
use crate::{
    client::{account::flows, session::password::keep_address, web::policies},
    config::Consent,
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Field, Form, Page, Tone},
};

/// Goes to what is missing; makes the account when nothing is.
pub(super) async fn go_on(
    app: &Arc<App>,
    browser: &Browser,
    newcomer: Newcomer,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    if !provider(app, &newcomer.origin.provider)?.allow_registration {
        return Err(Failure::forbidden(language.say("sso.no_account")));
    }
    match missing(app, &newcomer) {
        Some(path) => cookie::with(app, send_to(path)?, &newcomer),
        None => finished(app, browser, newcomer).await,
    }
}

/// The page on which the next thing is asked; `None` when all is settled.
fn missing(app: &App, newcomer: &Newcomer) -> Option<&'static str> {
    if newcomer.chosen.is_none() {
        return Some(PICK_NAME);
    }
    let accepted = &newcomer.accepted;
    let must = must_accept(&app.config.consent);
    (!must.iter().all(|policy| accepted.contains(policy))).then_some(CONSENT)
}

/// The policies that who registers must accept, each with its version: as for registration by password.
fn must_accept(consent: &Consent) -> Vec<String> {
    let policies = consent.policies.iter().filter(|_| consent.at_registration);
    policies
        .map(|policy| format!("{} {}", policy.id, policy.version))
        .collect()
}

/// `GET /_synapse/client/new_user_consent`
pub(super) async fn consent_page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let newcomer = must_carry(&app, &browser)?;
    ask_consent(&app, &browser, &newcomer, None)
}

/// `POST /_synapse/client/new_user_consent`
pub(super) async fn consented(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let mut newcomer = must_carry(&app, &browser)?;
    app.pages
        .check_seal(&browser, "sso-consent", &consent_binding(&app, &newcomer))?;
    if browser.form.get("accept") != Some("yes") {
        let needed = browser.language.say("web.terms_needed");
        return ask_consent(&app, &browser, &newcomer, Some(needed));
    }
    newcomer.accepted = must_accept(&app.config.consent);
    cookie::with(&app, send_to(REGISTER)?, &newcomer)
}

/// `GET /_synapse/client/sso_register`
pub(super) async fn register(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let newcomer = must_carry(&app, &browser)?;
    go_on(&app, &browser, newcomer).await
}

/// Somebody who is on the way to a first account.
pub(super) fn must_carry(app: &App, browser: &Browser) -> Result<Newcomer, Failure> {
    cookie::carried(app, browser)
        .ok_or_else(|| Failure::invalid_param(browser.language.say("sso.begin_again")))
}

/// What the person agrees to is what they were shown.
fn consent_binding(app: &App, newcomer: &Newcomer) -> String {
    let policies = must_accept(&app.config.consent).join("\n");
    format!("{}\n{policies}", newcomer.origin.subject)
}

fn ask_consent(
    app: &App,
    browser: &Browser,
    newcomer: &Newcomer,
    wrong: Option<&str>,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let accept = Field::new("checkbox", "accept", language.say("web.terms_accept"))
        .value("yes")
        .required();
    let form = Form::to(CONSENT)
        .sealed(&app.pages, "sso-consent", &consent_binding(app, newcomer))
        .field(accept)
        .submit(language.say("sso.continue"));
    let name = newcomer.chosen.as_deref().unwrap_or_default();
    let user_id = format!("@{name}:{}", app.env().server_name());
    let mut page = Page::new(language, language.say("sso.consent_title"))
        .with(Block::text(
            language.tell("sso.consent_text", &[("user", &user_id)]),
        ))
        .with(policies(&app.config.consent.policies, language));
    if let Some(wrong) = wrong {
        page = page.with(Block::notice(Tone::Error, wrong));
    }
    let url = finish::client_address(&newcomer.redirect_url)?;
    page = page.form_may_lead_to(&finish::origin(&url));
    Ok(app.pages.show(page.with(form)))
}

async fn finished(
    app: &Arc<App>,
    browser: &Browser,
    mut newcomer: Newcomer,
) -> Result<Prepared, Failure> {
    let Some(localpart) = newcomer.chosen.clone() else {
        return Err(Failure::internal("a newcomer has no name"));
    };
    let origin = &newcomer.origin;
    // Somebody may have come by another browser in the meantime.
    let known = app
        .house
        .user_of_external(&origin.provider, &origin.subject);
    let user_id = match known.await? {
        Some(user_id) => user_id,
        None => {
            let email = newcomer.email.as_deref().and_then(Address::email);
            app.house
                .must_have_room_for_newcomer(email.as_ref())
                .await?;
            let made = app.house.register(NewAccount {
                username: Some(localpart),
                displayname: newcomer.displayname.clone(),
                terms: flows::accepted(&app.config),
                ..NewAccount::default()
            });
            let made = match made.await {
                Ok(made) => made,
                Err(HouseError::User(UserError::UserInUse) | HouseError::InvalidUsername(_)) => {
                    newcomer.chosen = None;
                    return cookie::with(app, send_to(PICK_NAME)?, &newcomer);
                }
                Err(error) => return Err(error.into()),
            };
            link(app, origin, &made.user_id).await?;
            if let Some(email) = &newcomer.email {
                keep_address(app, &made.user_id, email).await;
            }
            made.user_id
        }
    };
    let admitted = Admitted {
        user_id,
        redirect_url: newcomer.redirect_url.clone(),
        origin: Some(newcomer.origin.clone()),
    };
    let page = finish::page(app, browser, &admitted).await?;
    Ok(cookie::without(app, page, &newcomer))
}

/// Lets an identity belong to an account.
pub(super) async fn link(
    app: &Arc<App>,
    origin: &Origin,
    user_id: &UserId,
) -> Result<(), HouseError> {
    let linked = app
        .house
        .link_external(&origin.provider, &origin.subject, user_id)
        .await;
    match linked {
        // Two browsers of one person at once.
        Err(HouseError::External(ExternalError::Taken)) => Err(HouseError::Forbidden(
            "this identity belongs to another account by now".to_owned(),
        )),
        outcome => outcome,
    }
}
