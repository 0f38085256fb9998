//! `GET /`

use std::sync::Arc;

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Page},
};

/// Says what this is to people who open the server's address in a browser.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let values = [("server", app.config.server.name.as_str())];
    let page = Page::new(language, language.tell("shell.welcome_title", &values))
        .with(Block::text(language.tell("shell.welcome_text", &values)));
    Ok(app.pages.show(page))
}
