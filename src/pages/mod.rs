//! What the server shows to people: pages of one shell, texts in their language, forms that only they can send.
//!
//! Owns how a page looks and which headers protect it. Must not know what a page is for: its blocks come from the endpoint that shows it.
//!
//! # For endpoint writers
//! Mount with [`crate::edge::Routes::mount_page`]; the handler gets a [`crate::edge::Browser`] and answers
//! `app.pages.show(Page::new(browser.language, title).with(Block::text(…)).with(form))`. Texts stand in `ops/pages/LANGUAGE/AREA.toml`, one key
//! `area.name` each, and are read by [`Language::say`] and [`Language::tell`]; a new area is one line in `language.rs`. Forms that change something
//! carry [`Form::sealed`] and are checked by [`Pages::check_seal`].

mod cookie;
mod digest;
mod language;
mod letter;
mod link;
mod page;
mod seal;
mod shell;
#[cfg(test)]
mod tests;

use actix_web::http::StatusCode;

pub(crate) use self::{
    cookie::Cookie,
    digest::{DigestLetter, Line, RoomPart},
    language::Language,
    letter::{Letter, Written},
    page::{Block, Button, Field, Form, Page, Script, Tone},
    seal::SEAL_LIFETIME_MS,
    shell::Pages,
};
use crate::edge::{Failure, Prepared};

/// The page that says why something was refused.
pub(crate) fn refusal(pages: &Pages, language: Language, failure: &Failure) -> Prepared {
    let message = match failure.inside() {
        Some(reason) => {
            tracing::error!(reason, "internal error behind a page");
            language.say("shell.internal_error").to_owned()
        }
        None if failure.status() == 429 => language.say("shell.too_fast").to_owned(),
        None => failure.message().to_owned(),
    };
    let status = StatusCode::from_u16(failure.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let page = Page::new(language, language.say("shell.refused"))
        .with(Block::notice(Tone::Error, message));
    pages.show(page).with_status(status)
}
