//! What a page is made of.

use serde::Serialize;

use super::{language::Language, shell::Pages};

/// A page: a title and blocks.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(super) language: Language,
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
    pub(super) scripts: Vec<Script>,
    pub(super) form_targets: Vec<String>,
    pub(super) may_be_framed: bool,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(language: Language, title: impl Into<String>) -> Self {
        Self {
            language,
            title: title.into(),
            blocks: Vec::new(),
            scripts: Vec::new(),
            form_targets: Vec::new(),
            may_be_framed: false,
        }
    }

    /// The same with one more block.
    pub(crate) fn with(mut self, block: impl Into<Block>) -> Self {
        self.blocks.push(block.into());
        self
    }

    /// The same with one more script. Pages do without where they can.
    pub(crate) fn script(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// Its form may lead to this origin too (`https://host`, or `scheme:`): browsers apply the rule to redirects as well.
    pub(crate) fn form_may_lead_to(mut self, origin: &str) -> Self {
        self.form_targets.push(origin.to_owned());
        self
    }

    /// Pages of other origins may show it inside: only for what clients must embed.
    pub(crate) fn framed(mut self) -> Self {
        self.may_be_framed = true;
        self
    }
}

/// A script of a page.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// A text of ours that stands in the page, allowed by its hash.
    Inline(&'static str),
    /// A script of another origin, which may open frames of that origin too.
    From(String),
    /// An origin from which those scripts load more.
    Origin(String),
}

/// How something is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tone {
    /// By the way.
    Info,
    /// It worked.
    Success,
    /// It did not.
    Error,
}

/// A part of a page.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "block", rename_all = "lowercase")]
pub(crate) enum Block {
    /// A paragraph.
    Text {
        /// Its text.
        text: String,
    },
    /// A paragraph that stands out.
    Notice {
        /// How it is meant.
        tone: Tone,
        /// Its text.
        text: String,
    },
    /// A paragraph for browsers that run no scripts.
    NoScript {
        /// Its text.
        text: String,
    },
    /// A list of links.
    Links {
        /// Text and target.
        links: Vec<(String, String)>,
    },
    /// Links to the pages beside this one.
    Menu {
        /// Text and target, a path of this server.
        links: Vec<(String, String)>,
    },
    /// Names and values.
    Facts {
        /// Name and value.
        rows: Vec<(String, String)>,
    },
    /// A form.
    Form(Form),
}

impl Block {
    /// A paragraph.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into() }
    }

    /// A paragraph that stands out.
    pub(crate) fn notice(tone: Tone, text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Notice { tone, text }
    }

    /// A paragraph for browsers that run no scripts.
    pub(crate) fn no_script(text: impl Into<String>) -> Self {
        Self::NoScript { text: text.into() }
    }

    /// A list of links: text and target. Targets that would run a script are left out.
    pub(crate) fn links(links: impl IntoIterator<Item = (String, String)>) -> Self {
        let leads = |target: &str| {
            ["https://", "http://", "mailto:", "/"]
                .iter()
                .any(|start| target.starts_with(start))
        };
        let links = links.into_iter().filter(|(_, target)| leads(target));
        Self::Links {
            links: links.collect(),
        }
    }

    /// Links to the pages beside this one: text and path.
    pub(crate) fn menu(links: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::Menu {
            links: links.into_iter().collect(),
        }
    }

    /// Names and values.
    pub(crate) fn facts(rows: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::Facts {
            rows: rows.into_iter().collect(),
        }
    }
}

impl From<Form> for Block {
    fn from(form: Form) -> Self {
        Self::Form(form)
    }
}

/// A form. It is posted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Form {
    action: String,
    fields: Vec<Field>,
    buttons: Vec<Button>,
}

impl Form {
    /// The name of the field with the seal.
    pub(super) const SEAL: &'static str = "seal";

    /// A form that is posted to a path of this server; empty: to where the page came from.
    pub(crate) fn to(action: impl Into<String>) -> Self {
        Self {
            action: action.into(),
            fields: Vec::new(),
            buttons: Vec::new(),
        }
    }

    /// The same with a hidden field.
    pub(crate) fn hidden(self, name: &'static str, value: impl Into<String>) -> Self {
        self.field(Field::new("hidden", name, "").value(value))
    }

    /// The same with a field.
    pub(crate) fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// The same with a button.
    pub(crate) fn button(mut self, button: Button) -> Self {
        self.buttons.push(button);
        self
    }

    /// The same with a button that only says what happens.
    pub(crate) fn submit(self, label: impl Into<String>) -> Self {
        self.button(Button::new(label))
    }

    /// The same with proof that this server made it, for this purpose and whatever it is bound to: a session, a cookie, a token.
    pub(crate) fn sealed(self, pages: &Pages, purpose: &str, binding: &str) -> Self {
        let seal = pages.seal(purpose, binding);
        self.hidden(Self::SEAL, seal)
    }
}

/// A field of a form.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Field {
    kind: &'static str,
    name: &'static str,
    label: String,
    value: String,
    hint: String,
    autocomplete: &'static str,
    required: bool,
}

impl Field {
    /// A field: `text`, `password`, `email`, `tel`, `checkbox`, `hidden`, `fixed` (which cannot be changed) or `recaptcha` (whose value is the
    /// site's key).
    pub(crate) fn new(kind: &'static str, name: &'static str, label: impl Into<String>) -> Self {
        Self {
            kind,
            name,
            label: label.into(),
            value: String::new(),
            hint: String::new(),
            autocomplete: "off",
            required: false,
        }
    }

    /// The same with what stands in it.
    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    /// The same with a sentence below it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same with what browsers may fill in (HTML, "Autofill").
    pub(crate) fn autocomplete(mut self, what: &'static str) -> Self {
        self.autocomplete = what;
        self
    }

    /// It must be filled in.
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }
}

/// A button that sends a form.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Button {
    label: String,
    name: &'static str,
    value: String,
    secondary: bool,
}

impl Button {
    /// A button.
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            name: "",
            value: String::new(),
            secondary: false,
        }
    }

    /// The same, telling by a field that it was this one.
    pub(crate) fn telling(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.name = name;
        self.value = value.into();
        self
    }

    /// The same, not the one that most people want.
    pub(crate) fn secondary(mut self) -> Self {
        self.secondary = true;
        self
    }
}
