//! `POST` of the links in mails: `/_matrix/client/unstable/registration/email/submit_token` and its kin.

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use playhouse_actors::{house::HouseError, threepid::ThreepidError};

use super::submit_token_page::PURPOSE;
use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Page, Tone},
};

/// Takes back the token that was mailed.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let sid = browser.form.need("sid")?;
    app.pages.check_seal(&browser, PURPOSE, sid)?;
    let secret = browser.form.need("client_secret")?;
    let token = browser.form.need("token")?;
    let next_link = match app.house.validate(sid, secret, token).await {
        Ok(next_link) => next_link,
        Err(HouseError::Threepid(ThreepidError::Invalid)) => {
            return Err(Failure::invalid_param(language.say("web.link_invalid")));
        }
        Err(error) => return Err(error.into()),
    };
    let page = Page::new(language, language.say("web.confirmed_title")).with(Block::notice(
        Tone::Success,
        language.say("web.confirmed_text"),
    ));
    let shown = app.pages.show(page);
    let target = next_link.and_then(|link| HeaderValue::from_str(&link).ok());
    Ok(match target {
        Some(target) => shown
            .with_status(StatusCode::SEE_OTHER)
            .with_header(header::LOCATION, target),
        None => shown,
    })
}
