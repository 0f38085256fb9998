//! `GET /_matrix/client/unstable/account_validity/renew`

use std::sync::Arc;

use super::{RENEW, right};
use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Form, Page},
};

/// Asks whether the account shall go on: programs that look into mails open links too, and must not renew anything.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let token = browser.query.need("token")?;
    let (user_id, _) =
        right(&app, token).ok_or_else(|| Failure::not_found(language.say("web.renew_unknown")))?;
    let form = Form::to(RENEW)
        .hidden("token", token)
        .submit(language.say("web.renew"));
    let values = [("user", user_id.as_str())];
    let page = Page::new(language, language.say("web.renew_title"))
        .with(Block::text(language.tell("web.renew_text", &values)))
        .with(form);
    Ok(app.pages.show(page))
}
