//! `GET` of the links in mails: `/_matrix/client/unstable/registration/email/submit_token` and its kin.

use std::sync::Arc;

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Form, Page},
};

/// What seals of these forms are for.
pub(super) const PURPOSE: &str = "submit token";

/// Asks the person to confirm: programs that look into mails open links too, and must not confirm anything.
pub(crate) async fn handle(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let language = browser.language;
    let field = |name| browser.query.need(name);
    let sid = field("sid")?;
    let form = Form::to("")
        .hidden("token", field("token")?)
        .hidden("client_secret", field("client_secret")?)
        .hidden("sid", sid)
        .sealed(&app.pages, PURPOSE, sid)
        .submit(language.say("web.confirm"));
    let mut page = Page::new(language, language.say("web.confirm_title"))
        .with(Block::text(language.say("web.confirm_text")))
        .with(form);
    for host in &app.config.email.next_link_hosts {
        // Browsers apply the rule to where the form leads in the end.
        page = page
            .form_may_lead_to(&format!("https://{host}"))
            .form_may_lead_to(&format!("http://{host}"));
    }
    Ok(app.pages.show(page))
}
