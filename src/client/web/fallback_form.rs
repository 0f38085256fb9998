//! `POST /_matrix/client/*/auth/{auth_type}/fallback/web`

use std::sync::Arc;

use actix_web::http::StatusCode;

use super::fallback_page::{self, PURPOSE};
use crate::{
    client::account::flows,
    edge::{App, Browser, Failure, Prepared, uiaa::Standing},
    third_party::{RECAPTCHA, TERMS},
};

/// Passes a stage of user-interactive authentication in the client's place.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let given = browser.form.get("session").filter(|text| !text.is_empty());
    let session = match given {
        Some(session) => session.to_owned(),
        None => browser.query.need("session")?.to_owned(),
    };
    let stage = browser.path.first().cloned().unwrap_or_default();
    if app.interactive.standing(&session, &stage).await? == Standing::Awaited {
        app.pages.check_seal(&browser, PURPOSE, &session)?;
        match check(&app, &browser, &stage, &session).await {
            Ok(proof) => app.interactive.complete(&session, &stage, proof).await?,
            Err(failure) if failure.status() >= 500 || failure.status() == 429 => {
                return Err(failure);
            }
            Err(failure) => {
                let trouble = Some(failure.message());
                let page = fallback_page::stage(&app, &browser, &session, trouble).await?;
                return Ok(app.pages.show(page).with_status(StatusCode::UNAUTHORIZED));
            }
        }
    }
    let page = fallback_page::stage(&app, &browser, &session, None).await?;
    Ok(app.pages.show(page))
}

/// What the form proves.
async fn check(
    app: &App,
    browser: &Browser,
    stage: &str,
    session: &str,
) -> Result<String, Failure> {
    let language = browser.language;
    let field = |name| browser.form.get(name).unwrap_or_default();
    match stage {
        TERMS if field("accept") == "yes" => Ok(String::new()),
        TERMS => Err(Failure::forbidden(language.say("web.terms_needed"))),
        "m.login.dummy" => Ok(String::new()),
        RECAPTCHA => {
            let solution = field("g-recaptcha-response");
            let asked = app.third_party.check_captcha(
                &app.config.captcha,
                solution,
                browser.visitor.address,
            );
            match asked.await {
                Ok(()) => Ok(String::new()),
                Err(failure) if failure.status() >= 500 => Err(failure),
                Err(_) => Err(Failure::forbidden(language.say("web.captcha_wrong"))),
            }
        }
        "m.login.registration_token" => flows::hold_token(app, field("token").trim(), session)
            .await
            .map_err(|failure| match failure.status() {
                401 => Failure::forbidden(language.say("web.token_wrong")),
                _ => failure,
            }),
        _ => Err(Failure::forbidden(language.say("web.not_asked"))),
    }
}
