//! What a page says of itself. A tokenizer reads it, no tree is built: nesting costs nothing, and only what is looked for is kept.

use std::collections::BTreeMap;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

/// Longer values are cut.
const VALUE_CHARACTERS_MAX: usize = 1_000;

/// Longer attributes are not looked at.
const ATTRIBUTE_BYTES_MAX: usize = 8_192;

/// So many properties are kept.
const PROPERTIES_MAX: usize = 64;

/// So many pictures of the text are looked at.
const PICTURES_MAX: usize = 32;

/// A picture of the text that says it is smaller is an ornament.
const PICTURE_PIXELS_MIN: u64 = 100;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// `og:…`, `twitter:…` and `description`: the first of each.
    pub(super) properties: BTreeMap<String, String>,
    /// `<title>`.
    pub(super) title: Option<String>,
    /// Where the page is described as oEmbed in JSON.
    pub(super) oembed: Option<String>,
    /// Pictures of the text, those that say how large they are first.
    pub(super) pictures: Vec<String>,
}

impl Page {
    /// Reads a page. `picture` asks for pictures of the text too.
    pub(super) fn read(html: &str) -> Self {
        let mut reader = Reader::default();
        let handle = |event: CallbackEvent<'_>, _: Span<()>| -> Option<()> {
            reader.take(event);
            None
        };
        let mut emitter = CallbackEmitter::new(handle);
        emitter.naively_switch_states(true);
        // Reading from memory cannot fail.
        for Ok(()) in Tokenizer::new_with_emitter(html, emitter) {}
        reader.finish()
    }

    /// The first of several properties that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&String> {
        names.iter().find_map(|name| self.properties.get(*name))
    }
}

/// The text of a piece of HTML.
pub(super) fn plain_text(html: &str) -> String {
    let mut text = String::new();
    let mut hidden = false;
    let handle = |event: CallbackEvent<'_>, _: Span<()>| -> Option<()> {
        match event {
            CallbackEvent::OpenStartTag { name } => hidden = matches!(name, b"script" | b"style"),
            CallbackEvent::EndTag { .. } => hidden = false,
            CallbackEvent::String { value } if !hidden => {
                text.push_str(&String::from_utf8_lossy(value));
                text.push(' ');
            }
            _ => {}
        }
        None
    };
    let mut emitter = CallbackEmitter::new(handle);
    emitter.naively_switch_states(true);
    for Ok(()) in Tokenizer::new_with_emitter(html, emitter) {}
    tidy(&text)
}

/// One line of text, cut to a bearable length.
pub(super) fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    let mut left = VALUE_CHARACTERS_MAX;
    for word in text.split_whitespace() {
        if !tidy.is_empty() && left > 0 {
            tidy.push(' ');
            left -= 1;
        }
        if left == 0 {
            break;
        }
        for character in word.chars().filter(|character| !character.is_control()) {
            if left == 0 {
                break;
            }
            tidy.push(character);
            left -= 1;
        }
    }
    tidy
}

/// The attributes that are looked at.
const ATTRIBUTES: [&[u8]; 9] = [
    b"property",
    b"name",
    b"content",
    b"rel",
    b"type",
    b"href",
    b"src",
    b"width",
    b"height",
];

#[derive(Default)]
struct Reader {
    page: Page,
    unsized_pictures: Vec<String>,
    tag: Vec<u8>,
    attribute: Option<usize>,
    values: [Option<String>; ATTRIBUTES.len()],
    in_title: bool,
    /// A title within a drawing is not the page's.
    in_drawing: bool,
}

impl Reader {
    fn take(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                // Longer names are none that are looked for.
                self.tag.extend_from_slice(&name[..name.len().min(16)]);
                self.attribute = None;
                self.values = Default::default();
            }
            CallbackEvent::AttributeName { name } => {
                let known = ATTRIBUTES.iter().position(|known| *known == name);
                // The first of two attributes with the same name counts.
                self.attribute = known.filter(|index| self.values[*index].is_none());
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some(index) = self.attribute
                    && value.len() <= ATTRIBUTE_BYTES_MAX
                {
                    self.values[index] = Some(String::from_utf8_lossy(value).into_owned());
                }
            }
            CallbackEvent::CloseStartTag { .. } => self.tag_read(),
            CallbackEvent::EndTag { name } => {
                self.in_title = false;
                self.in_drawing &= name != b"svg";
            }
            CallbackEvent::String { value } if self.in_title && self.page.title.is_none() => {
                let cut = &value[..value.len().min(ATTRIBUTE_BYTES_MAX)];
                let title = tidy(&String::from_utf8_lossy(cut));
                self.page.title = (!title.is_empty()).then_some(title);
            }
            _ => {}
        }
    }

    fn tag_read(&mut self) {
        let tag = std::mem::take(&mut self.tag);
        match tag.as_slice() {
            b"title" => self.in_title = !self.in_drawing,
            b"svg" => self.in_drawing = true,
            b"meta" => self.meta(),
            b"link" => self.link(),
            b"img" => self.picture(),
            _ => {}
        }
        self.tag = tag;
    }

    fn value(&mut self, name: &[u8]) -> Option<String> {
        let index = ATTRIBUTES.iter().position(|known| *known == name)?;
        self.values[index].take()
    }

    fn meta(&mut self) {
        let (property, name) = (self.value(b"property"), self.value(b"name"));
        let Some(content) = self.value(b"content") else {
            return;
        };
        let content = tidy_or_url(&content);
        for name in [property, name].into_iter().flatten() {
            let name = name.trim().to_ascii_lowercase();
            let wanted = ["og:", "twitter:"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
                || name == "description";
            let properties = &mut self.page.properties;
            if wanted
                && name.len() <= 64
                && !content.is_empty()
                && properties.len() < PROPERTIES_MAX
                && !properties.contains_key(&name)
            {
                properties.insert(name, content.clone());
            }
        }
    }

    fn link(&mut self) {
        let rel = self.value(b"rel").unwrap_or_default();
        let kind = self.value(b"type").unwrap_or_default();
        let is_alternate = rel
            .split_ascii_whitespace()
            .any(|word| word.eq_ignore_ascii_case("alternate"));
        if is_alternate
            && kind.eq_ignore_ascii_case("application/json+oembed")
            && self.page.oembed.is_none()
        {
            self.page.oembed = self.value(b"href");
        }
    }

    fn picture(&mut self) {
        let (width, height) = (self.value(b"width"), self.value(b"height"));
        let Some(source) = self
            .value(b"src")
            .filter(|source| !source.starts_with("data:"))
        else {
            return;
        };
        let pixels = |side: Option<String>| side?.trim().trim_end_matches("px").parse::<u64>().ok();
        let list = match (pixels(width), pixels(height)) {
            (Some(width), Some(height)) => {
                if width.min(height) < PICTURE_PIXELS_MIN {
                    return;
                }
                &mut self.page.pictures
            }
            _ => &mut self.unsized_pictures,
        };
        if list.len() < PICTURES_MAX {
            list.push(source);
        }
    }

    fn finish(mut self) -> Page {
        self.page.pictures.append(&mut self.unsized_pictures);
        self.page
    }
}

/// Values are one line of text; what is a link is not cut.
fn tidy_or_url(content: &str) -> String {
    let trimmed = content.trim();
    if trimmed.starts_with("http://") || trimmed.starts_with("https://") {
        return trimmed.chars().take(4_096).collect();
    }
    tidy(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_says() {
        let page = Page::read(
            "<!doctype html><html><head><svg><title>icon</title></svg><title> A &amp;\n B </title>
             <meta property='og:title' content='Caf&eacute; &quot;x&quot;'><META NAME=description CONTENT='some  text'>
             <meta property=og:title content=second><meta name='twitter:image' content='/t.png'>
             <meta property='other' content='x'><meta property='og:empty' content=''>
             <link rel='alternate' type='application/json+oembed' href='/o?a=1&amp;b=2'>
             <script>var a = \"<meta property='og:type' content='evil'>\";</script>
             <!-- <meta property='og:type' content='evil'> --></head>
             <body><img src=small.png width=10 height=10><img src=late.png><img src=large.png width=400 height=300px>
             <img src='data:image/png;base64,xxxx'>",
        );
        assert_eq!(page.title.as_deref(), Some("A & B"));
        assert_eq!(page.oembed.as_deref(), Some("/o?a=1&b=2"));
        assert_eq!(page.pictures, ["large.png", "late.png"]);
        let properties: Vec<(&str, &str)> = page
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            properties,
            [
                ("description", "some text"),
                ("og:title", "Caf\u{e9} \"x\""),
                ("twitter:image", "/t.png"),
            ]
        );
    }

    #[test]
    fn what_wants_to_be_large_stays_small() {
        let deep = "<div>".repeat(200_000) + "<title>deep</title>";
        assert_eq!(Page::read(&deep).title.as_deref(), Some("deep"));
        let many: String = (0..10_000)
            .map(|number| {
                format!("<meta property='og:x{number}' content='{number}'><img src=x{number}>")
            })
            .collect();
        let page = Page::read(&many);
        assert_eq!((page.properties.len(), page.pictures.len()), (64, 32));
        let long = format!("<title>{}</title>", "x ".repeat(100_000));
        let title = Page::read(&long).title.unwrap_or_default();
        assert!(title.len() <= 1_000);
        for broken in [
            "<",
            "<meta",
            "<meta property='og:title",
            "<title>",
            "<!--",
            "</",
            "\0<\0",
        ] {
            let _ = Page::read(broken);
        }
    }

    #[test]
    fn text_of_html() {
        assert_eq!(
            plain_text("<p>One<br>two</p><script>evil()</script> &lt;three&gt;"),
            "One two <three>"
        );
    }
}
