//! Mails that tell users what they have not seen.

use playhouse_actors::pushers::{Digest, DigestRoom, PushTrouble};

use super::unsubscribe;
use crate::{
    client::threepid::validation,
    edge::App,
    pages::{DigestLetter, Language, Line, RoomPart},
    third_party::encoded,
};

/// A name in a subject has at most so many characters.
const SUBJECT_NAME_CHARS_MAX: usize = 60;

/// Writes a mail and sends it.
pub(crate) async fn mail(app: &App, digest: &Digest) -> Result<(), PushTrouble> {
    let trouble = |reason: &str| PushTrouble {
        reason: reason.to_owned(),
        retry_after_ms: None,
    };
    let Some(mailer) = &app.third_party.mailer else {
        return Err(trouble("there is no mail server"));
    };
    let written = letter(app, digest).write();
    let sent = mailer.send_written(app.env(), &digest.address, written);
    // What is wrong stands in the log already.
    sent.await.map_err(|_| trouble("the mail was not taken"))
}

fn letter(app: &App, digest: &Digest) -> DigestLetter {
    let language = Language::named(&digest.language).unwrap_or(Language::ENGLISH);
    let name = digest.brand.as_deref().filter(|brand| !brand.is_empty());
    let name = name.unwrap_or(&app.config.push.app_name);
    let server = app.config.server.name.as_str();
    let rooms: Vec<_> = digest
        .rooms
        .iter()
        .map(|room| part(app, language, room))
        .collect();
    let first = rooms.first().map_or("", |room| room.name.as_str());
    let first: String = first.chars().take(SUBJECT_NAME_CHARS_MAX).collect();
    let values = [("room", first.as_str()), ("app", name)];
    let subject = match rooms.len() + digest.further_rooms {
        0 | 1 => language.tell("mail.digest_subject", &values),
        _ => language.tell("mail.digest_subject_more", &values),
    };
    let mut last = Vec::new();
    if digest.further_rooms > 0 {
        let count = digest.further_rooms.to_string();
        last.push(language.tell("mail.digest_further_rooms", &[("count", count.as_str())]));
    }
    last.push(language.tell("mail.digest_reason", &[("server", server)]));
    let path = unsubscribe::path(app, &digest.user_id, &digest.app_id, &digest.address);
    DigestLetter {
        language,
        subject,
        paragraphs: vec![
            language.tell(
                "mail.digest_hello",
                &[("user", one_line(&digest.user_name).as_str())],
            ),
            language.tell("mail.digest_intro", &[("app", name)]),
        ],
        rooms,
        last,
        open: language.say("mail.digest_open").to_owned(),
        unsubscribe: (
            language.say("mail.digest_unsubscribe").to_owned(),
            format!("{}{path}", validation::base(app)),
        ),
    }
}

fn part(app: &App, language: Language, room: &DigestRoom) -> RoomPart {
    let others = room.others.join(", ");
    let name = match (&room.name, others.is_empty()) {
        (Some(name), _) => name.clone(),
        (None, false) => others,
        (None, true) => language.say("mail.digest_nameless").to_owned(),
    };
    let mut notes = Vec::new();
    if room.further > 0 {
        let count = room.further.to_string();
        notes.push(language.tell("mail.digest_further", &[("count", count.as_str())]));
    }
    if let Some(inviter) = room.inviter.as_deref().map(one_line) {
        notes.push(language.tell("mail.digest_invited", &[("inviter", inviter.as_str())]));
    }
    let lines = room.messages.iter().map(|message| Line {
        sender: one_line(&message.sender),
        text: match &message.text {
            Some(text) => text.clone(),
            None => language.say("mail.digest_unreadable").to_owned(),
        },
    });
    RoomPart {
        name: one_line(&name),
        url: url(app, room),
        lines: lines.collect(),
        notes,
    }
}

/// A name as it may stand in a text that has lines of its own: strangers choose names.
fn one_line(name: &str) -> String {
    name.replace(char::is_control, " ")
}

fn url(app: &App, room: &DigestRoom) -> String {
    match &app.config.push.client_base_url {
        Some(base) => format!("{}/#/room/{}", base.trim_end_matches('/'), room.room_id),
        None => format!("https://matrix.to/#/{}", encoded(room.room_id.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_line() {
        assert_eq!(one_line("Bert\r\nNo more:\u{85}x"), "Bert  No more: x");
    }
}
