//! `GET` and `POST` of `/_synapse/client/unsubscribe`, which mails call `/_matrix/client/unstable/pushers/remove` too.

use std::sync::Arc;

use playhouse_actors::user::{UserCommand, UserError};
use ruma::{OwnedUserId, UserId};

use crate::{
    edge::{App, Browser, Failure, Prepared},
    pages::{Block, Form, Page, Tone},
    third_party::encoded,
};

/// Where links lead.
pub(super) const PATH: &str = "/_synapse/client/unsubscribe";

/// What tokens of these links are for: a user, an application, and the address that is its key.
const PURPOSE: &str = "pusher removal";

/// Which pusher a link removes.
struct Right {
    user_id: OwnedUserId,
    app_id: String,
    pushkey: String,
}

/// The path of the link that ends a pusher, for mails: also for a `List-Unsubscribe` header with one click (RFC 8058).
pub(crate) fn path(app: &App, user_id: &UserId, app_id: &str, pushkey: &str) -> String {
    let words = [user_id.as_str(), app_id, pushkey];
    let token = app.pages.link_token(PURPOSE, &words);
    format!("{PATH}?token={}", encoded(&token))
}

fn right(app: &App, browser: &Browser) -> Result<Right, Failure> {
    let unknown = || Failure::not_found(browser.language.say("web.unsubscribe_unknown"));
    // One click of a mail program posts to the link as it is.
    let token = browser.form.get("token").or(browser.query.get("token"));
    let token = token.ok_or_else(|| Failure::missing_param("token is missing"))?;
    let [user_id, app_id, pushkey] = app
        .pages
        .read_link_token(PURPOSE, token)
        .ok_or_else(unknown)?;
    Ok(Right {
        user_id: UserId::parse(user_id).map_err(|_| unknown())?,
        app_id,
        pushkey,
    })
}

/// Asks first: programs that look into mails open links too.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let right = right(&app, &browser)?;
    let language = browser.language;
    let values = [
        ("user", right.user_id.as_str()),
        ("address", &right.pushkey),
    ];
    let token = browser.query.get("token").unwrap_or_default();
    let form = Form::to(PATH)
        .hidden("token", token)
        .submit(language.say("web.unsubscribe"));
    let page = Page::new(language, language.say("web.unsubscribe_title"))
        .with(Block::text(language.tell("web.unsubscribe_text", &values)))
        .with(form);
    Ok(app.pages.show(page))
}

/// Ends the pusher. Who has none any more is told the same.
pub(super) async fn form(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let right = right(&app, &browser)?;
    let command = UserCommand::RemovePusher {
        app_id: right.app_id,
        pushkey: right.pushkey,
    };
    match app.house.user_command(&right.user_id, command).await {
        Ok(_) | Err(UserError::Deactivated | UserError::UnknownUser) => {}
        Err(error) => return Err(error.into()),
    }
    let language = browser.language;
    let page = Page::new(language, language.say("web.unsubscribe_title")).with(Block::notice(
        Tone::Success,
        language.say("web.unsubscribed"),
    ));
    Ok(app.pages.show(page))
}
