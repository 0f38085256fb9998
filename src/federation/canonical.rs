//! Canonical JSON of what travels between servers (appendices, "Canonical JSON").
//!
//! Numbers that canonical JSON cannot say are passed on digit by digit: rooms of old versions have such events, and their servers sign what they send.

use std::{borrow::Cow, collections::BTreeMap};

use ruma::CanonicalJsonValue;
use serde_json::value::RawValue;

/// Deeper nesting is refused. As deep as the parser reads: what may come in is bounded before.
const DEPTH_MAX: usize = 127;

/// It is not JSON, or nested too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not JSON")]
pub(crate) struct NotJson;

/// The canonical form of a text; the text itself when it is canonical already.
pub(crate) fn canonical(text: &[u8]) -> Result<Cow<'_, str>, NotJson> {
    let text = std::str::from_utf8(text).map_err(|_| NotJson)?;
    let written = match serde_json::from_str::<CanonicalJsonValue>(text) {
        Ok(value) => value.to_string(),
        Err(_) => {
            let mut out = String::with_capacity(text.len());
            let raw = serde_json::from_str(text).map_err(|_| NotJson)?;
            write(raw, &mut out, 0)?;
            out
        }
    };
    Ok(if written == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(written)
    })
}

fn write(raw: &RawValue, out: &mut String, depth: usize) -> Result<(), NotJson> {
    if depth > DEPTH_MAX {
        return Err(NotJson);
    }
    match raw.get().as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = parse(raw)?;
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(name));
                out.push(':');
                write(value, out, depth + 1)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = parse(raw)?;
            out.push('[');
            for (index, value) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out, depth + 1)?;
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&quoted(&parse::<Cow<'_, str>>(raw)?)),
        _ => out.push_str(raw.get()),
    }
    Ok(())
}

fn parse<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, NotJson> {
    serde_json::from_str(raw.get()).map_err(|_| NotJson)
}

/// A text in the quotes and escapes of canonical JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (given, wanted) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"b":1, "a":[ true,null]}"#, r#"{"a":[true,null],"b":1}"#),
            (
                r#"{"b":1.50, "a":{"d":1e9,"c":"\u00e9\/"}}"#,
                "{\"a\":{\"c\":\"é/\",\"d\":1e9},\"b\":1.50}",
            ),
            (r#"{"a":9007199254740993}"#, r#"{"a":9007199254740993}"#),
        ] {
            assert_eq!(canonical(given.as_bytes()).as_deref(), Ok(wanted));
        }
        assert!(matches!(canonical(br#"{"a":1}"#), Ok(Cow::Borrowed(_))));
        for number in ["1", "1.5"] {
            let deep = format!("{}{number}{}", "[".repeat(127), "]".repeat(127));
            assert_eq!(canonical(deep.as_bytes()).as_deref(), Ok(deep.as_str()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let deep = format!("{}1.5{}", "[".repeat(140), "]".repeat(140));
        for text in ["", "{", "{\"a\":}", deep.as_str()] {
            assert_eq!(canonical(text.as_bytes()), Err(NotJson), "{text}");
        }
    }
}
