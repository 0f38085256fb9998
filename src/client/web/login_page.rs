//! `GET /_matrix/static/client/login/`

use std::sync::Arc;

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Field, Form, Page, Script},
};

/// Logs in by this server's own API and hands the answer to the client whose window this is. That is why it cannot do without a script.
const SCRIPT: &str = include_str!("../../../ops/pages/login.js");

/// Shows a form to log in, for clients without one of their own (client-server API, "Login Fallback").
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let form = Form::to("")
        .field(
            Field::new("text", "user", language.say("web.user"))
                .autocomplete("username")
                .required(),
        )
        .field(
            Field::new("password", "password", language.say("web.password"))
                .autocomplete("current-password")
                .required(),
        )
        .submit(language.say("web.log_in"));
    let page = Page::new(language, language.say("web.login_title"))
        .with(Block::no_script(language.say("web.login_needs_script")))
        .with(form)
        .script(Script::Inline(SCRIPT));
    Ok(app.pages.show(page))
}
