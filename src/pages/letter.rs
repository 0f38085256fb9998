//! Mails: the same texts in plain and in HTML.

use std::sync::OnceLock;

use minijinja::context;

use super::language::Language;

const PLAIN: &str = include_str!("../../ops/pages/mail.txt");
const HTML: &str = include_str!("../../ops/pages/mail.html");

/// A mail as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) subject: String,
    pub(crate) plain: String,
    pub(crate) html: String,
    /// Where mails like this are ended, with one click (RFC 8058).
    pub(crate) unsubscribe: Option<String>,
}

/// A mail to a person.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    language: Language,
    pub(crate) subject: String,
    paragraphs: Vec<String>,
    link: (String, String),
    last: String,
}

impl Letter {
    /// A mail with a link: its label and where it leads.
    pub(crate) fn new(language: Language, subject: String, link: (String, String)) -> Self {
        Self {
            language,
            subject,
            paragraphs: Vec::new(),
            link,
            last: String::new(),
        }
    }

    /// The same with one more paragraph before the link.
    pub(crate) fn paragraph(mut self, text: impl Into<String>) -> Self {
        self.paragraphs.push(text.into());
        self
    }

    /// The same with what stands after the link.
    pub(crate) fn last(mut self, text: impl Into<String>) -> Self {
        self.last = text.into();
        self
    }

    /// Plain and HTML.
    pub(crate) fn bodies(&self) -> (String, String) {
        let show = |name| {
            let template = environment()
                .get_template(name)
                .expect("the templates are there, a test shows them");
            let shown = template.render(context! {
                lang => self.language.code(),
                subject => self.subject.as_str(),
                paragraphs => self.paragraphs.clone(),
                label => self.link.0.as_str(),
                url => self.link.1.as_str(),
                last => self.last.as_str(),
            });
            shown.unwrap_or_else(|error| {
                tracing::error!(%error, "a mail cannot be rendered");
                String::new()
            })
        };
        (show("mail.txt"), show("mail.html"))
    }
}

/// Templates named `.html` escape what is put into them.
fn environment() -> &'static minijinja::Environment<'static> {
    static ENVIRONMENT: OnceLock<minijinja::Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = minijinja::Environment::new();
        for (name, text) in [("mail.txt", PLAIN), ("mail.html", HTML)] {
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
    fn only_html_is_escaped() {
        let link = ("Go <on>".to_owned(), "https://h/?a=1&b=2".to_owned());
        let letter = Letter::new(Language::ENGLISH, "Sub<ject>".to_owned(), link)
            .paragraph("one < two")
            .last("bye & bye");
        let (plain, html) = letter.bodies();
        assert!(plain.contains("one < two"), "{plain}");
        assert!(plain.contains("https://h/?a=1&b=2\n"), "{plain}");
        assert!(html.contains("one &lt; two"), "{html}");
        assert!(html.contains("Go &lt;on&gt;"), "{html}");
        assert!(!html.contains("<on>") && !html.contains("<ject>"), "{html}");
    }
}
