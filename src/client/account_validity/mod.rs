//! Accounts that end unless their users renew them: the link that renews, who asks for it, and to whom it is mailed.

mod renew_form;
mod renew_page;
mod send_mail;
mod sweep;

use actix_web::http::Method;
use ruma::UserId;

pub(crate) use self::sweep::start;
use crate::{
    client::threepid::validation,
    edge::{App, Class, Failure, Routes},
    pages::{Language, Letter},
    third_party::encoded,
};

const RENEW: &str = "/_matrix/client/unstable/account_validity/renew";

/// What tokens of these links are for.
const PURPOSE: &str = "account renewal";

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_page(Method::GET, RENEW, renew_page::handle);
    routes
        .mount_page(Method::POST, RENEW, renew_form::handle)
        .class(Class::Login);
    routes.mount(send_mail::handle).class(Class::ThirdParty);
}

/// The right to renew an account at one end, if this token gives it.
fn right(app: &App, token: &str) -> Option<(ruma::OwnedUserId, u64)> {
    let [user_id, end_ms] = app.pages.read_link_token(PURPOSE, token)?;
    Some((UserId::parse(user_id).ok()?, end_ms.parse().ok()?))
}

/// Mails the link that renews an account to all addresses of the user; how many there were.
async fn mail(
    app: &App,
    language: Language,
    (user_id, end_ms): (&UserId, u64),
) -> Result<usize, Failure> {
    let Some(mailer) = &app.third_party.mailer else {
        return Ok(0);
    };
    let known = app.house.threepids(user_id).await?;
    let addresses = known.into_iter().filter(|known| known.medium == "email");
    let token = app
        .pages
        .link_token(PURPOSE, &[user_id.as_str(), &end_ms.to_string()]);
    let url = format!("{}{RENEW}?token={}", validation::base(app), encoded(&token));
    let left_ms = end_ms.saturating_sub(app.env().now_ms());
    let days = left_ms.div_ceil(DAY_MS).to_string();
    let values = [
        ("server", app.config.server.name.as_str()),
        ("user", user_id.as_str()),
        ("days", &days),
    ];
    let text = if left_ms == 0 {
        "mail.renew_ended"
    } else {
        "mail.renew_text"
    };
    let letter = Letter::new(
        language,
        language.tell("mail.renew_subject", &values),
        (language.say("mail.renew").to_owned(), url),
    )
    .paragraph(language.tell(text, &values))
    .paragraph(language.say("mail.renew_open"))
    .last(language.say("mail.renew_ignore"));
    let mut count = 0;
    for known in addresses {
        mailer.send(app.env(), &known.address, &letter).await?;
        count += 1;
    }
    Ok(count)
}
