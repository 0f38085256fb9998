//! Mails that tell of several rooms.

use std::sync::OnceLock;

use minijinja::{context, value::Serde};
use serde::Serialize;

use super::{language::Language, letter::Written};

const PLAIN: &str = include_str!("../../ops/pages/digest.txt");
const HTML: &str = include_str!("../../ops/pages/digest.html");

/// A mail that tells of several rooms.
#[derive(Clone, Debug)]
pub(crate) struct DigestLetter {
    pub(crate) language: Language,
    pub(crate) subject: String,
    /// What stands before the rooms.
    pub(crate) paragraphs: Vec<String>,
    pub(crate) rooms: Vec<RoomPart>,
    /// What stands after them.
    pub(crate) last: Vec<String>,
    /// The label of links to rooms.
    pub(crate) open: String,
    /// The label of the link that ends such mails, and where it leads.
    pub(crate) unsubscribe: (String, String),
}

/// What is told of a room.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoomPart {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) notes: Vec<String>,
}

/// A message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) sender: String,
    pub(crate) text: String,
}

impl DigestLetter {
    /// Plain and HTML.
    pub(crate) fn write(self) -> Written {
        let show = |name| {
            let template = environment()
                .get_template(name)
                .expect("the templates are there, a test shows them");
            let shown = template.render(context! {
                lang => self.language.code(),
                subject => self.subject.as_str(),
                paragraphs => self.paragraphs.clone(),
                rooms => Serde(self.rooms.clone()),
                last => self.last.clone(),
                open => self.open.as_str(),
                label => self.unsubscribe.0.as_str(),
                url => self.unsubscribe.1.as_str(),
            });
            shown.unwrap_or_else(|error| {
                tracing::error!(%error, "a mail cannot be rendered");
                String::new()
            })
        };
        Written {
            plain: show("digest.txt"),
            html: show("digest.html"),
            subject: self.subject,
            unsubscribe: Some(self.unsubscribe.1),
        }
    }
}

/// Templates named `.html` escape what is put into them.
fn environment() -> &'static minijinja::Environment<'static> {
    static ENVIRONMENT: OnceLock<minijinja::Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = minijinja::Environment::new();
        for (name, text) in [("digest.txt", PLAIN), ("digest.html", HTML)] {
            environment
                .add_template(name, text)
                .expect("the templates are well formed, a test shows them");
        }
        environment
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_words_are_escaped() {
        let letter = DigestLetter {
            language: Language::ENGLISH,
            subject: "Sub<ject>".to_owned(),
            paragraphs: vec!["one < two".to_owned()],
            rooms: vec![RoomPart {
                name: "<Room>".to_owned(),
                url: "https://h/#/room/!a:b".to_owned(),
                lines: vec![Line {
                    sender: "B<ert".to_owned(),
                    text: "<script>".to_owned(),
                }],
                notes: vec!["and & so on".to_owned()],
            }],
            last: vec!["bye".to_owned()],
            open: "Open".to_owned(),
            unsubscribe: ("No more".to_owned(), "https://h/?token=1".to_owned()),
        };
        let written = letter.write();
        assert!(
            written.plain.contains("B<ert: <script>"),
            "{}",
            written.plain
        );
        assert!(
            written.plain.contains("https://h/?token=1"),
            "{}",
            written.plain
        );
        assert!(written.html.contains("&lt;script&gt;"), "{}", written.html);
        assert!(!written.html.contains("<script>"), "{}", written.html);
        assert!(!written.html.contains("<Room>"), "{}", written.html);
        assert_eq!(written.unsubscribe.as_deref(), Some("https://h/?token=1"));
    }
}
