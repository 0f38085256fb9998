//! Looking up one value in JSON without parsing the rest, and the marks by which sent messages are known again.

use std::fmt::Write as _;

/// The first string that stands under a key, at any depth. Only for values without escapes: identifiers, tokens.
pub(crate) fn field<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    json.match_indices(key).find_map(|(at, _)| {
        if !json[..at].ends_with('"') {
            return None;
        }
        let after = json[at + key.len()..].strip_prefix('"')?.trim_start();
        let value = after.strip_prefix(':')?.trim_start().strip_prefix('"')?;
        value.split_once('"').map(|(value, _)| value)
    })
}

/// Escapes for a path segment or a query value.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 24);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The body of a message: a tag, a number and filling.
pub(crate) fn marked(tag: &str, number: usize, bytes: usize) -> String {
    let mut body = format!("{tag}#{number}# ");
    let filling = bytes.saturating_sub(body.len());
    body.extend(
        "seven stout mice rehearse a play "
            .chars()
            .cycle()
            .take(filling),
    );
    body
}

/// The numbers of all messages with a tag that a text contains, with repetitions.
pub(crate) fn marks<'a>(text: &'a str, tag: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(tag).filter_map(|(at, _)| {
        let rest = text[at + tag.len()..].strip_prefix('#')?;
        rest.split_once('#')?.0.parse().ok()
    })
}

/// Which numbers were seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Vec<bool>);

impl Seen {
    /// Takes in one number; whether it is new.
    pub(crate) fn take(&mut self, number: usize) -> bool {
        if self.0.len() <= number {
            self.0.resize(number + 1, false);
        }
        !std::mem::replace(&mut self.0[number], true)
    }

    /// Takes in all numbers that a text has under a tag.
    pub(crate) fn take_all(&mut self, text: &str, tag: &str) {
        for number in marks(text, tag) {
            self.take(number);
        }
    }

    /// Whether the number was seen.
    pub(crate) fn has(&self, number: usize) -> bool {
        self.0.get(number).copied().unwrap_or(false)
    }
}
