//! `GET /_matrix/consent`

use std::sync::Arc;

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Page},
};

/// Shows the policies of this server.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let known = &app.config.consent.policies;
    if known.is_empty() {
        return Err(Failure::not_found(language.say("web.no_policies")));
    }
    let page = Page::new(language, language.say("web.policies_title"))
        .with(Block::text(language.say("web.policies_text")))
        .with(super::policies(known, language));
    Ok(app.pages.show(page))
}
