//! `POST /_matrix/client/unstable/account_validity/renew`

use std::sync::Arc;

use playhouse_actors::house::Renewal;

use super::right;
use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Page, Tone},
};

/// Lets an account go on for another period.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let settings = &app.config.account_validity;
    let unknown = || Failure::not_found(language.say("web.renew_unknown"));
    let token = browser.form.need("token")?;
    let (user_id, end_ms) = right(&app, token)
        .filter(|_| settings.enabled)
        .ok_or_else(unknown)?;
    let renewed = app
        .house
        .renew(&user_id, end_ms, settings.period_ms)
        .await?;
    let (tone, text) = match renewed {
        Renewal::Done(_) => (Tone::Success, "web.renewed"),
        Renewal::Already => (Tone::Info, "web.renewed_already"),
    };
    let page = Page::new(language, language.say("web.renew_title"))
        .with(Block::notice(tone, language.say(text)));
    Ok(app.pages.show(page))
}
